"""DuckDB's statements are translated once, whichever run sends them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from convergence.adapters.local.clock import SystemClock
from convergence.adapters.local.duckdb_sql import translate as translation
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.ports.warehouse import Lineage, Scope, Statement


def statement(org: str, run: str) -> Statement:
    at = datetime(2026, 3, int(run), tzinfo=UTC)
    lineage = Lineage(org_slug=org, pipeline_id="p", credential_id=f"c{run}", run_id=run, ingested_at=at)
    return Statement("SELECT 1 + 1 AS two", scope=Scope(dataset="acme_dev", lineage=lineage))


def test_a_statement_is_translated_once_for_all_runs_of_an_org(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translated, parsed = [], []
    translate, parse = translation.translate, translation.parse
    monkeypatch.setattr(translation, "translate", lambda *given: (translated.append(1), translate(*given))[1])
    monkeypatch.setattr(translation, "parse", lambda *given: (parsed.append(1), parse(*given))[1])

    async def work() -> None:
        warehouse = DuckDbWarehouse(tmp_path / "w.duckdb", clock=SystemClock(), project="demo")
        try:
            for run in ("1", "2", "3"):
                assert (await warehouse.query(statement("acme", run))).rows == [{"two": 2}]
            assert (len(parsed), len(translated)) == (1, 1)
            await warehouse.query(statement("globex", "1"))
            assert (len(parsed), len(translated)) == (2, 2)
        finally:
            warehouse.close()

    asyncio.run(work())
