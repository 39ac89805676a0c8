"""The configs folder: found by path or alias, read when it changed, checked as a whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from convergence.config.catalog import Catalog
from convergence.config.files.kinds import Kind
from convergence.errors import ConfigErrors, InvalidInput, NotFound

HELLO = 'pipeline_id: "{org_slug}-hello"\nsteps:\n  - {step_id: say_hello, ps_type: generic.noop}\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "configs"


def write(root: Path, name: str, text: str = HELLO) -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_names_are_the_paths_of_pipelines_only(root: Path) -> None:
    for name in ("a/b.yml", "a/b/c.yaml", "alerts/x.yml", "system/plans.yml", "notify_systems/mail/config.yml"):
        write(root, name)
    write(root, "a/schemas/t.json", "[]")
    assert Catalog(root).names() == ["a/b", "a/b/c"]


def test_an_alias_leads_to_its_pipeline(root: Path) -> None:
    write(root, "cloud/gcp/cost/billing.yml", HELLO + "aliases: [gcp/cost/billing]\n")
    write(root, "a/b.yml")
    assert Catalog(root).get("gcp/cost/billing").path == "cloud/gcp/cost/billing"


def test_shipped_pipelines_have_their_older_names_without_a_domain() -> None:
    catalog = Catalog(Path(__file__).parents[3] / "configs")
    for name in ("openai/usage_cost", "anthropic/usage_cost"):
        provider, _, rest = name.partition("/")
        assert catalog.get(name).path in {f"{provider}/cost/{rest}", name}


def test_a_file_is_read_once_and_again_when_it_changed(root: Path) -> None:
    file = write(root, "a/b.yml")
    catalog = Catalog(root)
    first = catalog.get("a/b")
    assert catalog.get("a/b") is first
    file.write_text(HELLO + "name: changed\n")
    assert catalog.get("a/b").pipeline.name == "changed"
    os.utime(file, ns=(1, 1))
    assert catalog.get("a/b").digest != first.digest


def test_a_file_that_broke_raises_until_it_is_mended(root: Path) -> None:
    file = write(root, "a/b.yml", "steps: [")
    catalog = Catalog(root)
    for _ in range(2):
        with pytest.raises(ConfigErrors):
            catalog.get("a/b")
    file.write_text(HELLO)
    assert catalog.get("a/b").path == "a/b"


def test_a_broken_file_with_an_alias_hides_no_other_pipeline(root: Path) -> None:
    write(root, "a/b.yml", "aliases: [x/y]\nsteps: [")
    write(root, "c/d.yml", HELLO + "aliases: [x/y]\n")
    assert Catalog(root).get("x/y").path == "c/d"


def test_an_unknown_name_is_reported_with_the_nearest(root: Path) -> None:
    write(root, "openai/cost/usage_cost.yml")
    with pytest.raises(NotFound) as caught:
        Catalog(root).get("openai/cost/usage_cots")
    assert str(caught.value) == ("Pipeline not found: openai/cost/usage_cots. Did you mean 'openai/cost/usage_cost'?")


@pytest.mark.parametrize(
    "name", ["../secret", "a/../../secret", "/etc/passwd", "a//b", "", "a/b.yml", "a\\b", "a/b\n", "0" * 300, "a\0b"]
)
def test_a_name_that_is_not_a_path_is_never_opened(root: Path, name: str) -> None:
    write(root, "a/x.yml")
    write(root.parent, "secret.yml")
    with pytest.raises(NotFound):
        Catalog(root).get(name)


def test_a_link_out_of_the_folder_is_not_followed(root: Path) -> None:
    outside = write(root.parent, "outside/b.yml")
    root.mkdir()
    (root / "a").symlink_to(outside.parent)
    catalog = Catalog(root)
    assert catalog.names() == []
    with pytest.raises(NotFound):
        catalog.get("a/b")


def test_a_linked_file_outside_of_the_folder_is_not_a_pipeline(root: Path) -> None:
    outside = write(root.parent, "outside.yml")
    write(root, "a/inside.yml")
    (root / "a" / "linked.yml").symlink_to(outside)
    catalog = Catalog(root)
    assert catalog.names() == ["a/inside"]
    with pytest.raises(NotFound):
        catalog.get("a/linked")


def test_validation_tells_everything_wrong_in_all_files(root: Path) -> None:
    write(root, "a/good.yml")
    write(root, "a/bad.yml", HELLO + "colour: red\n")
    write(root, "system/providers.yml", "providers: {}\naliases: {x: Y}\n")
    report = Catalog(root).validate()
    assert not report.ok
    assert [str(problem).split(": ")[0] for problem in report.problems] == ["a/bad.yml:4:1", "system/providers.yml:1:1"]
    assert {kind.value: count for kind, count in report.checked.items()} == {"pipeline": 2, "providers": 1}
    with pytest.raises(ConfigErrors):
        report.raise_problems()


@pytest.mark.parametrize("path", ["a/good.yml", "a/good", "a", Path("a")])
def test_validation_takes_files_folders_and_names(root: Path, path: str | Path) -> None:
    write(root, "a/good.yml")
    write(root, "b/bad.yml", "x")
    assert Catalog(root).validate([path]).ok


def test_validation_stays_inside_the_folder(root: Path) -> None:
    write(root, "a/good.yml")
    outside = write(root.parent, "other.yml")
    with pytest.raises(InvalidInput, match="is not inside the configs folder"):
        Catalog(root).validate([outside])
    with pytest.raises(NotFound, match="Did you mean 'a/good'"):
        Catalog(root).validate(["a/goood"])
    with pytest.raises(NotFound, match="there is no file"):
        Catalog(root).validate(["0" * 300])


def test_one_alias_leads_to_one_pipeline(root: Path) -> None:
    for name in ("a/one.yml", "a/two.yml"):
        write(root, name, HELLO + "aliases: [x/y]\n")
    write(root, "a/three.yml", HELLO + "aliases: [a/one]\n")
    messages = [problem.message for problem in Catalog(root).validate().problems]
    assert messages == ["the alias 'a/one' already leads to a/one", "the alias 'x/y' already leads to a/one"]


def test_a_pipeline_is_found_by_the_provider_and_domain_of_its_file(root: Path) -> None:
    write(root, "cloud/gcp/cost/billing.yml", HELLO + "provider: gcp\ndomain: cost\n")
    assert Catalog(root).get("gcp/cost/billing").path == "cloud/gcp/cost/billing"


def test_a_name_that_two_files_have_names_both(root: Path) -> None:
    for folder in ("a", "b"):
        write(root, f"{folder}/billing.yml", HELLO + "provider: gcp\ndomain: cost\naliases: [x/y]\n")
    for name in ("gcp/cost/billing", "x/y"):
        with pytest.raises(InvalidInput, match=f"'{name}' could be a/billing or b/billing: name one of them"):
            Catalog(root).get(name)


def test_two_schema_files_for_one_table_are_a_mistake_of_validate(root: Path) -> None:
    for folder in ("a", "b"):
        (root / folder / "schemas").mkdir(parents=True)
        (root / folder / "schemas" / "t.json").write_text('[{"name": "a", "type": "INT64"}]')
    (problem,) = Catalog(root).validate().problems
    assert str(problem) == "b/schemas/t.json:1: two files describe the table 't': the other is a/schemas/t.json:1"


def test_without_a_path_all_is_validated_also_beside_a_folder_of_the_same_name(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, "a/b.yml", HELLO)
    write(root, f"{root.name}/a/c.yml", HELLO)
    monkeypatch.chdir(root.parent)
    assert Catalog(Path(root.name)).validate().checked == {Kind.PIPELINE: 2}


def test_a_processor_that_is_not_there_yet_is_a_mistake(root: Path) -> None:
    write(root, "a/b.yml", HELLO.replace("generic.noop", "gcp.kms_manager"))
    (problem,) = Catalog(root).validate().problems
    assert str(problem) == (
        "a/b.yml:3:26: steps[0].ps_type: the processor 'gcp.kms_manager' is not part of this installation yet"
    )


def test_a_switched_off_step_may_wait_for_its_processor(root: Path) -> None:
    write(root, "a/b.yml", HELLO.replace("generic.noop", "gcp.kms_manager, enabled: false"))
    report = Catalog(root).validate()
    assert report.ok
    assert "is not part of this installation yet" in str(report.warnings[0])


def test_the_files_of_this_repository_are_right() -> None:
    report = Catalog(Path(__file__).parents[3] / "configs").validate()
    assert report.problems == ()
