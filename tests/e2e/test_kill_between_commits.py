"""A process that dies after the warehouse committed and before the state did: what a cancel and a replay make of it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Installation

PIPELINE = """
pipeline_id: "{org_slug}-fill"
name: Fill
provider: example
domain: kill
parameters:
  label: {type: string, default: first}
steps:
  - step_id: make
    ps_type: generic.bq_execute
    config: {query: "CREATE TABLE IF NOT EXISTS numbers (n INT64, label STRING)"}
  - step_id: fill
    ps_type: STEP_TYPE
    depends_on: [NEEDS]
    config: CONFIG
"""
BROKEN = """
  - {step_id: broken, ps_type: generic.bq_execute, depends_on: [make], config: {query: "SELECT ERROR('no')"}}
"""
SEED = """
  - step_id: seed
    ps_type: generic.bq_execute
    depends_on: [make]
    config: {query: "INSERT INTO numbers (n) VALUES (1)"}
"""
PROCEDURE = """CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_fill(p_label STRING)
BEGIN
  INSERT INTO numbers (n, label) SELECT n, p_label FROM UNNEST(GENERATE_ARRAY(1, 1000)) AS n;
END;
"""
SCHEMA = '[{"name": "n", "type": "INT64"}, {"name": "label", "type": "STRING"}]'
ROWS = "SELECT n, '{label}' AS label FROM UNNEST(GENERATE_ARRAY(1, 1000)) AS n"
INSERT = f'{{query: "INSERT INTO numbers (n, label) {ROWS}"}}'
UPDATE = '{query: "UPDATE numbers SET n = n + 1 WHERE TRUE"}'
APPEND = f'{{query: "{ROWS}"}}\n    destination: {{table: added_daily_raw, write_mode: append}}'
CALL = '{procedure: sp_fill, params: {p_label: "{label}"}}'
# Imported by Python before the command: the process kills itself as soon as the write of the step `fill` is committed,
# or, with a step that fails beside it, as soon as the run has failed too.
DEADLY = """
import asyncio, os, signal, sys
if os.environ.get("DEADLY"):
    from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
    from convergence.engine.step import finish_step
    failed = asyncio.Event()

    def deadly(name):
        write = getattr(DuckDbWarehouse, name)
        async def then_die(self, *given, **options):
            answer = await write(self, *given, **options)
            asked = given[0]
            text = getattr(asked, "sql", "") or getattr(asked, "procedure", "")
            if os.environ["DEADLY"] in f"{name} {text}":
                if os.environ.get("DEADLY_ONCE_FAILED"):
                    await failed.wait()
                os.kill(os.getpid(), signal.SIGKILL)
            return answer
        setattr(DuckDbWarehouse, name, then_die)

    fail_run = finish_step.fail_run
    async def fail_and_tell(*given):
        await fail_run(*given)
        failed.set()
    finish_step.fail_run = fail_and_tell
    for name in ("load", "query", "call"):
        deadly(name)
"""


class World:
    """An installation with a pipeline of its own."""

    def __init__(self, folder: Path, config: str, *, needs: str = "make", more: str = "") -> None:
        self.configs = Path(shutil.copytree(ROOT / "configs", folder / "configs"))
        step_type = "generic.procedure_executor" if config == CALL else "generic.bq_execute"
        text = PIPELINE.replace("STEP_TYPE", step_type).replace("NEEDS", needs).replace("CONFIG", config) + more
        (self.configs / "example" / "fill.yml").write_text(text)
        (self.configs / "example" / "schemas").mkdir(exist_ok=True)
        (self.configs / "example" / "schemas" / "added_daily_raw.json").write_text(SCHEMA)
        (self.configs / "system" / "procedures" / "sp_fill.sql").write_text(PROCEDURE)
        (folder / "deadly").mkdir()
        (folder / "deadly" / "sitecustomize.py").write_text(DEADLY)
        self._path = f"{folder / 'deadly'}:{ROOT / 'shared'}"
        self.installation = Installation(folder / "data")
        self.call("org", "create", "acme")

    def call(self, *words: str, code: int = 0) -> str:
        return self.installation.call("--configs", str(self.configs), *words, code=code).stdout

    def killed(self, write: str, **more: str) -> str:
        """Run the pipeline in a process that dies at the write; return the run's id."""
        words = ("--configs", str(self.configs), "run", "acme", "example/fill")
        with self.installation.started(*words, PYTHONPATH=self._path, DEADLY=write, **more) as process:
            _, output = process.communicate()
        assert process.returncode == -signal.SIGKILL, output
        run_id: str = self.installation.json("status")["run_id"]
        return run_id

    def values(self, sql: str) -> list[object]:
        (row,) = self.installation.json("query", "acme", sql)["rows"]
        return list(row.values())


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    return lambda config, **more: World(tmp_path, config, **more)


COUNT = "SELECT COUNT(*) AS c, COUNT(DISTINCT label) AS l FROM numbers"


@pytest.mark.parametrize(
    ("config", "write", "table"),
    [(INSERT, "query INSERT", "numbers"), (APPEND, "load", "added_daily_raw"), (CALL, "call", "numbers")],
    ids=["insert", "append", "call"],
)
def test_cancelled_and_replayed_a_write_is_there_once(
    world: Callable[..., World], config: str, write: str, table: str
) -> None:
    lived = world(config)
    run_id = lived.killed(write)
    lived.call("cancel", run_id)
    lived.call("replay", run_id)
    assert lived.values(f"SELECT COUNT(*) AS c FROM {table}") == [1000]


def test_an_update_is_not_made_twice(world: Callable[..., World]) -> None:
    lived = world(UPDATE, needs="seed", more=SEED)
    run_id = lived.killed("query UPDATE")
    lived.call("cancel", run_id)
    lived.call("replay", run_id)
    assert lived.values("SELECT n FROM numbers") == [2]


def test_a_run_that_failed_meanwhile_is_replayed(world: Callable[..., World]) -> None:
    lived = world(INSERT, more=BROKEN)
    run_id = lived.killed("query INSERT", DEADLY_ONCE_FAILED="1")
    file = lived.configs / "example" / "fill.yml"
    file.write_text(file.read_text().replace("ERROR('no')", "1"))
    lived.call("replay", run_id, "--latest")
    assert lived.values(COUNT) == [1000, 1]


@pytest.mark.parametrize(("word", "left"), [("--keep", [1000, 1]), ("--again", [2000, 2])])
def test_with_other_parameters_the_replay_asks(world: Callable[..., World], word: str, left: list[object]) -> None:
    lived = world(INSERT)
    run_id = lived.killed("query INSERT")
    lived.call("cancel", run_id)
    output = lived.call("replay", run_id, "-p", "label=second", code=1)
    assert 'label was "first" and is "second"' in output
    assert lived.values(COUNT) == [1000, 1]
    lived.call("replay", run_id, word, "fill")
    assert lived.values(COUNT) == left
