"""A process that dies in the middle of a run leaves nothing that another one cannot finish, row for row."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from convergence.bootstrap import EmbeddedOptions, embedded, reading
from convergence.engine.views import runs as views
from convergence.ports.warehouse import Scope, Statement
from convergence.sandbox import ADMIN_KEY
from tests.e2e.conftest import ROOT, Installation, until
from tests.e2e.gated_sandbox import GatedSandbox, listening

PIPELINE = "openai/cost/usage_cost"
DAYS = ("-p", "start_date=2026-03-07", "-p", "end_date=2026-03-08")
TABLES = (
    *("openai_usage_daily_raw", "openai_billing_daily_raw", "openai_cost_daily", "openai_cost_daily_reconciled"),
    *("genai_cost_daily_unified", "cost_data_standard_1_3"),
)
Tables = Mapping[str, list[Mapping[str, Any]]]


class World:
    """A sandbox, and an installation in which the key and the prices are stored: what every test begins with."""

    def __init__(self, folder: Path, sandbox: GatedSandbox, base_url: str) -> None:
        self.sandbox, self.base_url = sandbox, base_url
        self._folder, self._copies = folder, 0
        self._seed = Installation(folder / "seed")
        self._seed.call("org", "create", "acme")
        secret, where = ("--secret-from-env", "api_key=KEY"), ("-p", f"api_base_url={base_url}")
        self._seed.call("run", "acme", "openai/auth/setup", *secret, *where, KEY=ADMIN_KEY)

    def installation(self) -> Installation:
        """Return a fresh copy."""
        self._copies += 1
        return Installation(shutil.copytree(self._seed.data_dir, self._folder / f"copy{self._copies}"))

    def words(self) -> tuple[str, ...]:
        """The run of all tests. One idempotency key: one run id, so that rows can be compared in full."""
        where = ("-p", f"api_base_url={self.base_url}")
        return ("run", "acme", PIPELINE, *DAYS, *where, "--idempotency-key", "the run")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with listening() as (sandbox, base_url):
        yield World(tmp_path_factory.mktemp("kill"), sandbox, base_url)


@pytest.fixture(scope="module")
def undisturbed(world: World) -> Tables:
    """The rows of an undisturbed run."""
    installation = world.installation()
    assert installation.json(*world.words())["status"] == "completed"
    return tables(installation)


def tables(installation: Installation) -> Tables:
    """All rows but for what names the moment of writing, each table in an order of its own."""

    async def read() -> Tables:
        options = EmbeddedOptions(data_dir=installation.data_dir, configs_dir=ROOT / "configs")
        async with embedded(options, "compare") as opened:
            found: dict[str, list[Mapping[str, Any]]] = {}
            for table in TABLES:
                sql = f"SELECT * EXCEPT (x_ingested_at, x_ingestion_date) FROM {table}"
                result = await opened.warehouse.query(Statement(sql, scope=Scope(dataset="acme_dev")))
                found[table] = sorted(result.rows, key=str)
            return found

    return asyncio.run(read())


def step_status(installation: Installation, step_id: str) -> str:
    """Look into the state while another process writes."""
    with reading(EmbeddedOptions(data_dir=installation.data_dir)) as services:
        (run,) = asyncio.run(views.history(services, "acme", limit=1))["runs"]
        if run["pipeline"] != PIPELINE:
            return "no run yet"
        steps = asyncio.run(views.status(services, "acme", run["run_id"]))["steps"]
    return next(step["status"] for step in steps if step["step_id"] == step_id)


def kill_at_request(world: World, installation: Installation, path: str) -> None:
    """Kill the process while it waits for the answer to a request."""
    world.sandbox.stop_at(path)
    with installation.started(*world.words()) as process:
        world.sandbox.wait_for(process)
    assert process.returncode == -signal.SIGKILL
    world.sandbox.release()


def killed_at_step(world: World, step_id: str) -> Installation:
    """Return an installation whose process was killed as soon as a step was seen running (or, by a hair, done)."""
    for _ in range(3):
        installation = world.installation()
        with installation.started(*world.words()) as process:
            until(partial(has_begun, installation, step_id), process, f"{step_id} runs")
        if process.returncode == -signal.SIGKILL:
            return installation
    raise AssertionError(f"the run always ends before {step_id} is seen running")


def has_begun(installation: Installation, step_id: str) -> bool:
    return step_status(installation, step_id) in {"running", "completed"}


def finish(installation: Installation) -> None:
    """See that the run is left unfinished, and finish it."""
    looked = installation.call("history", "acme")
    assert "1 unfinished run; finish it with:" in looked.stderr
    (run,) = installation.json("resume")["runs"]
    assert (run["status"], run["pipeline"]) == ("completed", PIPELINE)


@pytest.mark.parametrize("path", ["/usage/embeddings", "/organization/costs"])
def test_killed_while_it_asks_the_provider(world: World, undisturbed: Tables, path: str) -> None:
    installation = world.installation()
    kill_at_request(world, installation, path)
    finish(installation)
    assert tables(installation) == undisturbed


@pytest.mark.parametrize("step_id", ["calculate_costs", "convert_focus"])
def test_killed_while_it_writes_to_the_warehouse(world: World, undisturbed: Tables, step_id: str) -> None:
    installation = killed_at_step(world, step_id)
    finish(installation)
    assert tables(installation) == undisturbed


def test_killed_again_and_again(world: World, undisturbed: Tables) -> None:
    installation = world.installation()
    for path in ("/usage/completions", "/usage/moderations", "/usage/web_search_calls"):
        kill_at_request(world, installation, path)
    finish(installation)
    assert tables(installation) == undisturbed


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_process_says_that_its_work_can_be_resumed(
    world: World, undisturbed: Tables, sent: signal.Signals, code: int
) -> None:
    installation = world.installation()
    world.sandbox.stop_at("/usage/images")
    with installation.started(*world.words()) as process:
        world.sandbox.wait_for(process)
        process.send_signal(sent)
        _, message = process.communicate()
    world.sandbox.release()
    assert process.returncode == code, message
    assert "Interrupted.\n1 unfinished run; finish it with:" in message
    assert "Traceback" not in message
    finish(installation)
    assert tables(installation) == undisturbed


def test_while_one_process_writes_others_read_and_a_second_writer_is_told_its_owner(world: World) -> None:
    installation = world.installation()
    world.sandbox.stop_at("/usage/embeddings")
    with installation.started(*world.words()) as process:
        world.sandbox.wait_for(process)
        run = installation.json("status")
        assert (run["pipeline"], run["status"]) == (PIPELINE, "running")
        assert {"step_id": "extract_usage", "status": "running"}.items() <= run["steps"][0].items()
        assert "claimed" in installation.call("logs", run["run_id"]).stdout
        looked = installation.call("history", "acme")
        assert "running" in looked.stdout
        assert "unfinished" not in looked.stderr  # another process is at work on it
        holder = f"process {process.pid} (run {PIPELINE})"
        for words in (("run", "acme", "example/hello"), ("query", "acme", "SELECT 1"), ("cancel", run["run_id"])):
            assert holder in installation.call(*words, code=4).stderr
        world.sandbox.release()
        process.communicate()
    assert process.returncode == 0


def test_a_killed_demo_is_finished_although_its_sandbox_died_with_it(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "data")
    installation.call("org", "create", "demo")

    def asks_for_usage() -> bool:
        with reading(EmbeddedOptions(data_dir=installation.data_dir)) as services:
            runs = asyncio.run(views.history(services, "demo", limit=1))["runs"]
            return bool(runs) and runs[0]["pipeline"] == PIPELINE

    with installation.started("demo") as process:
        until(asks_for_usage, process, "the demo's second run")
    assert process.returncode == -signal.SIGKILL
    assert [run["status"] for run in installation.json("resume")["runs"]] == ["completed"]
    assert installation.rows("demo", "cost_data_standard_1_3") != []
