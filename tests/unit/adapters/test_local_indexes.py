"""What a query costs in the SQLite file: each goes through a declared index, whatever has ended before."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.domain.status import RunStatus
from convergence.domain.times import to_text
from convergence.domain.webhook_delivery import DeliveryStatus
from convergence.engine.dead_letters.find import Filter
from convergence.engine.reconcile import count_unclosed, next_check, reconcile
from convergence.engine.services import INDEXES, Services
from convergence.engine.store import read_run
from convergence.engine.views import runs as views
from convergence.engine.views.dead_letters import dead_letters
from convergence.engine.views.quota import quota_view
from convergence.engine.webhooks.log import find_deliveries
from convergence.engine.webhooks.send import hint_due
from convergence.entry.cli.commands.resume import unfinished
from convergence.entry.cli.run_ids import find_run
from convergence.ports.documents import Create, Index, Order, Where
from convergence.tenants.api_keys import ApiKeyStore
from tests.contract.conftest import SteppingClock
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import TWO

# As the previous release left it.
OLD_INDEX = (
    "CREATE INDEX IF NOT EXISTS documents_runs_check_at ON documents (json_extract(body, '$.\"check_at\"'), id)"
    " WHERE collection = 'runs'"
)


def nested(fields: dict[str, str]) -> dict[str, Any]:
    """Return a document with these dotted fields."""
    data: dict[str, Any] = {}
    for path, value in fields.items():
        *parents, name = path.split(".")
        inner = data
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = value
    return data


def plan(documents: SqliteDocuments, sql: str) -> list[str]:
    """What SQLite does for a statement."""
    return [row[3] for row in documents.connection.execute(f"EXPLAIN QUERY PLAN {sql}")]


def traced(documents: SqliteDocuments, work: Callable[[], Coroutine[Any, Any, None]]) -> list[str]:
    """The queries that `work` makes, values filled in."""
    found: list[str] = []
    documents.connection.set_trace_callback(found.append)
    asyncio.run(work())
    documents.connection.set_trace_callback(None)
    return [sql for sql in found if "json_extract" in sql or "COUNT" in sql]


@pytest.mark.parametrize("index", INDEXES, ids=lambda index: "-".join((index.collection, *index.fields)))
def test_every_declared_index_is_walked_in_order_by_its_queries(index: Index) -> None:
    documents = SqliteDocuments(":memory:", SteppingClock(), indexes=INDEXES)
    *equal, last = index.fields
    where = [Where(field, "==", "x") for field in equal]
    order = [Order(last, index.descending)]

    async def queries() -> None:
        values = [{**dict.fromkeys(equal, "x"), last: f"{i}"} for i in range(3)]
        writes = [Create(f"{index.collection}/{i}", nested(each)) for i, each in enumerate(values)]
        await documents.commit(writes)
        first = await documents.query(index.collection, where=where, order=order, limit=2)
        rest = await documents.query(index.collection, where=where, order=order, limit=2, cursor=first.cursor)
        assert [len(first.documents), len(rest.documents)] == [2, 1]
        await documents.query(index.collection, where=[*where, Where(last, "<=", "9")], order=order)
        assert await documents.count(index.collection, where=[*where, Where(last, ">", "0")]) == 2

    made = traced(documents, queries)
    verbs = []
    for sql in made:
        (step,) = plan(documents, sql)  # a second one would sort
        name = "documents_" + "_".join((index.collection, *index.fields))
        found = re.fullmatch(rf"(\w+) documents USING (?:COVERING )?INDEX {name}\b.*", step)
        assert found is not None, (step, sql)
        verbs.append(found[1])
    # Without any condition there is nothing to search: the index is walked until the page is full.
    assert verbs == ["SEARCH" if equal else "SCAN", "SEARCH", "SEARCH", "SEARCH"]
    documents.close()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = Engine(tmp_path)
    engine.pipeline(TWO)
    return engine


async def everything(services: Services) -> None:
    """Every look at runs, dead letters, orgs and keys that the product takes."""
    await next_check(services)
    await reconcile(services)
    await reconcile(services, everything=True)
    await count_unclosed(services)
    await unfinished(services)
    await find_run(services, None)
    await quota_view(services, await services.orgs.get("acme"))
    for provider in (None, "p", "other"):
        for status in (None, *(status.value for status in RunStatus)):
            page = await views.history(services, "acme", provider=provider, status=status, limit=1)
            await views.history(services, "acme", provider=provider, status=status, cursor=page["cursor"])
    for org in ("acme", None):
        await dead_letters(services, Filter(org=org))
        await dead_letters(services, Filter(org=org, before=services.clock.now(), after=services.clock.now()))
    await hint_due(services)
    for webhook_id in (None, "whk_1"):
        for each in (None, *DeliveryStatus):
            await find_deliveries(services, "acme", webhook_id=webhook_id, status=each)
    await ApiKeyStore(services.documents, services.clock).all("acme")
    await services.credentials.all("acme", "p")
    await services.orgs.slugs()


def test_no_query_of_the_product_sorts_or_reads_a_whole_table(engine: Engine) -> None:
    found: list[str] = []

    async def scenario() -> None:
        for _ in range(3):
            await engine.run()
        engine.documents.connection.set_trace_callback(found.append)
        await everything(engine.services)
        engine.documents.connection.set_trace_callback(None)
        queries = {sql for sql in found if sql.startswith("SELECT") and ("ORDER BY" in sql or "COUNT" in sql)}
        assert len(queries) > 30
        for sql in queries:
            steps = plan(engine.documents, sql)
            assert len(steps) == 1, (steps, sql)
            assert "INDEX" in steps[0], (steps, sql)

    engine.run_scenario(scenario)


def test_looks_cost_the_same_whatever_has_ended(engine: Engine) -> None:
    """Counted in instructions of SQLite's machine, so a slow computer changes nothing."""
    spent = 0

    def count() -> int:
        nonlocal spent
        spent += 1
        return 0

    async def looks() -> int:
        nonlocal spent
        spent = 0
        services = engine.services
        engine.documents.connection.set_progress_handler(count, 1)
        await next_check(services)
        await reconcile(services)
        await views.history(services, "acme", status="failed")
        await views.history(services, "acme", provider="other")
        await quota_view(services, await services.orgs.get("acme"))
        engine.documents.connection.set_progress_handler(None, 0)
        return spent

    async def scenario() -> tuple[int, int]:
        await engine.clock.sleep(3 * 86_400)  # what ended, ended on another day
        run = await engine.run()
        stored = await read_run(engine.services, run.run_id)
        assert stored is not None
        few = await looks()
        past = to_text(run.created_at - timedelta(days=2))
        data = {**stored.run.to_data(), "created_at": past}
        await engine.documents.commit([Create(f"runs/past{i}", {**data, "run_id": f"past{i}"}) for i in range(2_000)])
        return few, await looks()

    few, many = engine.run_scenario(scenario)
    assert many <= few * 1.5, (few, many)


def test_an_older_directory_gets_the_indexes_of_today_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    SqliteDocuments(path, SteppingClock()).close()
    db = sqlite3.connect(path)
    db.execute(OLD_INDEX)
    db.execute("CREATE INDEX documents_gone ON documents (version)")
    db.commit()
    due = [Where("check_at", "<=", "9")]

    reader = SqliteDocuments(path, SteppingClock(), indexes=INDEXES, read_only=True)
    assert asyncio.run(reader.query("runs", where=due, order=[Order("check_at")])).documents == []
    SqliteDocuments(path, SteppingClock(), indexes=INDEXES).close()

    stored = dict(db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"))
    assert len(stored) == len(INDEXES)
    assert '"check_at"\') IS NOT NULL' in stored["documents_runs_check_at"]
    before = db.execute("PRAGMA schema_version").fetchone()
    SqliteDocuments(path, SteppingClock(), indexes=INDEXES).close()  # nothing to do any more
    assert db.execute("PRAGMA schema_version").fetchone() == before
    reader.close()
    db.close()
