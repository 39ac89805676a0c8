"""Every query of the product on Firestore, with the indexes that an installation declares: none is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from convergence.engine.reconcile import count_unsettled, next_check, reconcile
from convergence.engine.views import runs as views
from convergence.engine.views.quota import quota_view
from convergence.entry.cli.commands.resume import unfinished
from convergence.entry.cli.run_ids import find_run
from convergence.errors import StepFailed
from convergence.tenants.api_keys import ApiKeyStore
from tests.unit.adapters.firestore_engine import FirestoreEngine
from tests.unit.engine.works import TWO, failing

SOURCE = Path(__file__).parents[3] / "shared" / "convergence"
# Where queries are made, and how many; a new one is added here and asked for below.
QUERIES = {
    "engine/views/quota.py": 1,
    "engine/absence.py": 1,  # embedded only, and the query of `next_check`
    "engine/reconcile.py": 3,
    "engine/store.py": 1,
    "engine/views/runs.py": 1,
    "entry/cli/sandbox.py": 1,
    "entry/cli/commands/org.py": 1,
    "entry/cli/commands/resume.py": 1,
    "entry/cli/session.py": 1,
    "tenants/api_keys.py": 1,
    "tenants/credentials.py": 3,
    "tenants/orgs.py": 1,
}


@pytest.fixture
def engine(tmp_path: Path) -> FirestoreEngine:
    engine = FirestoreEngine(tmp_path)
    engine.pipeline(TWO)
    return engine


def test_every_place_that_queries_documents_is_known_here() -> None:
    made = re.compile(r"documents\.(?:query|count)\(")
    rooms = (path for room in ("engine", "tenants", "entry") for path in (SOURCE / room).rglob("*.py"))
    found = {str(path.relative_to(SOURCE)): len(made.findall(path.read_text())) for path in rooms}
    assert {name: count for name, count in found.items() if count} == QUERIES


def test_lists_of_runs_and_dead_letters_are_answered_in_every_combination(engine: FirestoreEngine) -> None:
    engine.works["load_b"] = failing(StepFailed("x"), times=1)

    async def scenario() -> list[int]:
        await engine.run()
        await engine.run()
        filters: list[dict[str, Any]] = [
            {**provider, **status} for provider in ({}, {"provider": "p"}) for status in ({}, {"status": "failed"})
        ]
        found = [len((await views.history(engine.services, "acme", **each))["runs"]) for each in filters]
        first = await views.history(engine.services, "acme", limit=1)
        after = await views.history(engine.services, "acme", limit=1, cursor=first["cursor"])
        assert first["runs"] != after["runs"]
        assert len((await views.dead_letters(engine.services, "acme"))["dead_letters"]) == 1
        assert len((await views.status(engine.services, "acme", first["runs"][0]["run_id"]))["steps"]) == 2
        return found

    assert engine.run_scenario(scenario) == [2, 1, 2, 1]


def test_the_latest_run_of_all_orgs_is_found_without_its_id(engine: FirestoreEngine) -> None:
    async def scenario() -> tuple[Any, Any]:
        runs = [await engine.run() for _ in range(3)]
        return await find_run(engine.services, None), runs[-1].run_id

    (org, found), latest = engine.run_scenario(scenario)
    assert (org, found) == ("acme", latest)


def test_what_is_due_unfinished_or_used_up_is_answered(engine: FirestoreEngine) -> None:
    async def scenario() -> None:
        services = engine.services
        engine.bus.detach()  # no worker: the run stays
        run = await engine.start()
        assert await next_check(services) is not None
        assert [found.run_id for found in await unfinished(services)] == [run.run_id]
        assert await count_unsettled(services) == 1
        assert await reconcile(services) == 0
        assert await reconcile(services, everything=True) == 1
        assert (await quota_view(services, await services.orgs.get("acme")))["today"]["succeeded"] == 0

    engine.run_scenario(scenario)


def test_orgs_keys_and_credentials_are_answered(engine: FirestoreEngine) -> None:
    async def scenario() -> None:
        services = engine.services
        keys = ApiKeyStore(services.documents, services.clock)
        for name in ("one", "two"):
            await keys.create("acme", name=name, scopes=("run",))
        assert len(await keys.all("acme")) == 2
        for name in ("default", "second"):
            await services.credentials.store("acme", "p", "sk-secret-1", name=name)
        assert await services.credentials.find("acme", "p") is not None
        assert (len(await services.credentials.all("acme")), len(await services.credentials.all("acme", "p"))) == (2, 2)
        assert await services.orgs.slugs() == ["acme"]
        assert await services.credentials.any_of(["acme"])
        assert len((await services.documents.query("orgs/acme/credentials")).documents) == 2

    engine.run_scenario(scenario)
