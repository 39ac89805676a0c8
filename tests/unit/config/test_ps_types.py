"""Names of processors, and what a config file can make us import."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from convergence.config.checks.validation import validate
from convergence.config.processors import ps_types
from convergence.config.processors.legacy_processor import LegacyProcessor
from convergence.errors import StepFailed
from convergence.ports.processor import Context


class Org:
    org_slug = "acme"
    run_id = "run_1"


CONTEXT = cast("Context", Org())


@pytest.mark.parametrize(
    ("older", "today"),
    [
        ("generic.procedure_exec", "generic.procedure_executor"),
        ("ExternalBqExtractor", "gcp.bq_etl"),
        ("EXTERNALBQEXTRACTOR", "gcp.bq_etl"),
        ("api_extractor", "generic.api_extractor"),
        ("convergence.processors.openai.usage", "openai.usage"),
        ("openai.usage", "openai.usage"),
        ("unheard.of", "unheard.of"),
    ],
)
def test_older_names_have_a_name_today(older: str, today: str) -> None:
    assert ps_types.canonical(older) == today


@pytest.mark.parametrize(
    ("class_name", "module", "expected"),
    [
        ("OpenAIUsageProcessor", "any.where", "openai.usage"),
        ("Own", "src.core.processors.acme.usage", "acme.usage:Own"),
        ("Own", "convergence.processors.acme.usage", "acme.usage:Own"),
        ("Own", "os", "os:Own"),
        ("Own", None, "Own"),
    ],
)
def test_a_class_becomes_a_name(class_name: str, module: str | None, expected: str) -> None:
    assert ps_types.from_class(class_name, module) == expected


def test_modules_are_found_by_their_files_without_importing_them() -> None:
    assert "generic.noop" in ps_types.installed()
    assert not any(name.endswith(".__init__") for name in ps_types.installed())
    assert "base" not in ps_types.installed()


@pytest.mark.parametrize("name", ["os", "os:system", "generic.noop:Missing", "../../x", "a.b:c", "subprocess:Popen"])
def test_a_config_file_cannot_import_what_is_not_a_processor(name: str) -> None:
    before = set(sys.modules)
    with pytest.raises(StepFailed):
        ps_types.load(name)
    assert {module for module in set(sys.modules) - before if not module.startswith("convergence")} == set()


def test_an_offered_processor_that_is_not_installed_is_refused_by_its_name() -> None:
    name = next(iter(ps_types.OFFERED_NAMES - ps_types.installed()))
    with pytest.raises(StepFailed, match=f"{name!r} is not part of this installation yet"):
        ps_types.load(name)


def test_a_processor_is_made_by_its_module() -> None:
    assert hasattr(ps_types.load("generic.noop"), "execute")


def test_an_own_module_without_a_processor_is_not_among_the_names(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "helper.py").write_text("x = 1\n")
    (tmp_path / "mine" / "usage.py").write_text("def get_engine():\n    ...\n")
    assert set(ps_types.modules_below(tmp_path)) == {"mine.usage"}


async def run(older: type, config: dict[str, Any]) -> Any:
    return await LegacyProcessor(older).execute(config, CONTEXT)


class Older:
    def __init__(self, config: dict[str, Any], org_slug: str, run_id: str) -> None:
        self.config, self.who = config, f"{org_slug}/{run_id}"

    def validate(self) -> bool:
        return "table" in self.config

    async def extract(self) -> list[int]:
        self.config["source"]["seen"] = True
        return [1, 2, 3]

    def transform(self, rows: list[int]) -> list[int]:
        return rows[1:]


def test_an_older_class_runs_step_by_step(anyio_run: Any) -> None:
    config = {"config": {"table": "t"}, "source": {"x": 1}}
    assert anyio_run(run, Older, config) == {"status": "SUCCESS", "rows_processed": 2}
    assert config == {"config": {"table": "t"}, "source": {"x": 1}}, "the plan's own config stays as it was"


def test_an_older_class_that_finds_its_config_wrong_fails(anyio_run: Any) -> None:
    with pytest.raises(StepFailed, match=r"Older.validate\(\) refused"):
        anyio_run(run, Older, {"config": {}})


def test_the_last_answer_of_an_older_class_may_be_its_result(anyio_run: Any) -> None:
    class Loader(Older):
        def load(self, rows: list[int]) -> dict[str, Any]:
            return {"status": "COMPLETED", "rows_written": len(rows), "who": self.who}

    result = anyio_run(run, Loader, {"config": {"table": "t"}, "source": {}})
    assert result == {"status": "COMPLETED", "rows_written": 2, "who": "acme/run_1"}


@pytest.fixture
def anyio_run() -> Any:
    import anyio

    return anyio.run


MADE = """
class Own:
    {how} execute(self, step_config, context):
        return {{}}

def get_engine():
    return {what}
"""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def get_engine(:\n", "cannot be loaded: SyntaxError: invalid syntax"),
        ("import numpyy\ndef get_engine(): ...\n", "cannot be loaded: ModuleNotFoundError: No module named 'numpyy'"),
        ("x = y\ndef get_engine(): ...\n", "cannot be loaded: NameError: name 'y' is not defined"),
        (MADE.format(how="async def", what="Own"), "returns the class Own, not an object of it: return Own()"),
        (MADE.format(how="async def", what="1"), "has no `async def execute(step_config, context)`"),
        ("class Own: ...\n", ".py does not have `def get_engine()`, which returns the processor"),
        (MADE.format(how="def", what="Own()"), "its `execute` is not async, so the step will fail"),
        (MADE.format(how="async def", what="Own()"), ""),
    ],
)
def test_what_an_authors_module_lacks_is_named_before_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    name = re.sub(r"\W", "_", tmp_path.name.lower())  # a module is imported once, so each case has its own
    folder = tmp_path / "processors"
    folder.mkdir()
    (folder / f"{name}.py").write_text(code)
    monkeypatch.setattr(ps_types, "FOLDER", folder)
    monkeypatch.setattr("convergence.processors.__path__", [str(folder)])
    file = tmp_path / "acme" / "x.yml"
    file.parent.mkdir()
    file.write_text(f"steps: [{{step_id: run_it, ps_type: {name}}}]")
    found = validate(tmp_path, [file])
    shown = [str(each) for each in (*found.problems, *found.warnings)]
    assert len(shown) == bool(message), shown
    assert all(message in each and each.startswith("acme/x.yml:1:") for each in shown)
