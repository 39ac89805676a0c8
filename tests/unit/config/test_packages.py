"""Processors of other packages, and names that two of them offer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from convergence.config.checks.validation import validate
from convergence.config.processors import packages, ps_types
from convergence.entry.cli.commands.processors import _described
from convergence.errors import StepFailed

PIPELINE = """
pipeline_id: "{org_slug}-x"
provider: x
steps: [{step_id: look, ps_type: PS_TYPE}]
"""
MODULE = """
class Works:
    async def execute(self, step_config, context):
        return {"status": "SUCCESS"}


def get_engine():
    return Works()
"""


def install(folder: Path, package: str, *names: str) -> None:
    """Put a package there as an installer would."""
    module = package.replace("-", "_")
    (folder / f"{module}.py").write_text(MODULE)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {module}\n" for name in names)
    (info / "entry_points.txt").write_text(f"[{packages.GROUP}]\n{lines}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages that is on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    packages.offers.cache_clear()
    yield tmp_path
    packages.offers.cache_clear()


def test_a_package_offers_processors_under_their_ps_type(site: Path) -> None:
    install(site, "acme-convergence", "acme.invoices")
    assert ps_types.is_installed("acme.invoices")
    assert ps_types.is_async(ps_types.load("acme.invoices"))
    assert _described("acme.invoices") == {
        "ps_type": "acme.invoices",
        "module": "acme_convergence",
        "packages": ["acme-convergence"],
        "problem": None,
    }


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("acme.invoices", "acme-convergence and by other-convergence"),
        ("generic.noop", "acme-convergence and by convergence-pipelines and by other-convergence"),
    ],
)
def test_a_name_that_two_packages_offer_is_refused_by_validation_and_at_the_run(
    site: Path, tmp_path: Path, name: str, offered: str
) -> None:
    install(site, "acme-convergence", name)
    install(site, "other-convergence", name)
    with pytest.raises(StepFailed, match=f"is provided by {offered}; remove all of them but one"):
        ps_types.load(name)
    file = tmp_path / "configs" / "x" / "look.yml"
    file.parent.mkdir(parents=True)
    file.write_text(PIPELINE.replace("PS_TYPE", name))
    report = validate(tmp_path / "configs", [file])
    assert any(f"is provided by {offered}" in str(problem) for problem in report.problems)


def test_one_package_with_a_name_twice_in_its_list_is_no_contest(site: Path) -> None:
    install(site, "acme-convergence", "acme.invoices", "acme.other")
    assert ps_types.contested("acme.invoices") == ""


def test_a_processor_that_is_not_async_is_a_warning_at_its_line(site: Path, tmp_path: Path) -> None:
    install(site, "blocking-convergence", "acme.blocking")
    module = site / "blocking_convergence.py"
    module.write_text(MODULE.replace("async def", "def"))
    file = tmp_path / "configs" / "x" / "look.yml"
    file.parent.mkdir(parents=True)
    file.write_text(PIPELINE.replace("PS_TYPE", "acme.blocking"))
    [warning] = [each for each in validate(tmp_path / "configs", [file]).warnings if "async" in str(each)]
    assert str(warning) == (
        "x/look.yml:4:25: steps[0].ps_type: its `execute` is not async, so the step will fail: write "
        "`async def execute`"
    )
