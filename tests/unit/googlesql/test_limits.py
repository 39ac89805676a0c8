"""A statement cannot take all memory, nor run for ever: sizes are bounded by name, and a cancelled one ends at once."""

from __future__ import annotations

import asyncio
import time
import warnings
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.googlesql.conftest import SCOPE, GoogleSql

from convergence.adapters.googlesql.parse import parse_statement
from convergence.adapters.local.warehouse import values
from convergence.errors import StepFailed
from convergence.ports.warehouse import ProcedureCall, Statement

ENDLESS = {
    "a cross join": "WITH n AS (SELECT n FROM UNNEST(GENERATE_ARRAY(1, 1000000)) AS n)"
    " SELECT COUNT(*) FROM n AS a CROSS JOIN n AS b WHERE a.n * b.n = -1",
    "an endless recursion": "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT 1 FROM r) SELECT COUNT(*) FROM r",
}


@pytest.mark.parametrize("sql", ENDLESS.values(), ids=ENDLESS)
def test_a_runaway_statement_ends_with_its_time_limit(shared_sql: GoogleSql, sql: str) -> None:
    async def limited() -> None:
        async with asyncio.timeout(0.3):
            await shared_sql.warehouse.query(Statement(sql, {}, scope=SCOPE))

    begun = time.perf_counter()
    with pytest.raises(TimeoutError):
        shared_sql.wait(limited())
    assert time.perf_counter() - begun < 20
    assert shared_sql.value("1") == 1


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("sql", ENDLESS.values(), ids=ENDLESS)
def test_a_statement_has_a_time_limit_of_its_own(shared_sql: GoogleSql, sql: str, writable: bool) -> None:
    scope = replace(SCOPE, writable=writable)
    with pytest.raises(StepFailed, match=r"ran longer than 0\.3 s, its time limit"):
        shared_sql.query(sql, scope=scope, timeout_s=0.3)
    assert shared_sql.value("1") == 1


def test_a_procedure_has_a_time_limit(shared_sql: GoogleSql) -> None:
    shared_sql.define("LOOP SELECT 1; END LOOP;", name="sp_endless")
    call = ProcedureCall("sp_endless", {}, scope=SCOPE, job_id="endless", timeout_s=0.3)
    with pytest.raises(StepFailed, match="its time limit"):
        shared_sql.wait(shared_sql.warehouse.call(call))


def test_a_statement_without_a_limit_has_the_warehouses(monkeypatch: pytest.MonkeyPatch, shared_sql: GoogleSql) -> None:
    monkeypatch.setattr(shared_sql.warehouse, "_limit_s", 0.3)
    with pytest.raises(StepFailed, match="its time limit"):
        shared_sql.query(ENDLESS["a cross join"])


def test_a_result_is_bounded_in_bytes(shared_sql: GoogleSql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "RESULT_BYTES_MAX", 1_000_000)
    sql = "SELECT REPEAT('a', 1000) AS s FROM UNNEST(GENERATE_ARRAY(1, {rows}))"
    assert len(shared_sql.query(sql.format(rows=900)).rows) == 900
    with pytest.raises(StepFailed, match=r"more than 1,000,000 bytes.*Select fewer rows or columns"):
        shared_sql.query(sql.format(rows=9_000))


def test_long_texts_are_not_fetched_far_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "RESULT_BYTES_MAX", 100_000)
    fetched: list[int] = []

    class LongTexts:
        @property
        def description(self) -> list[tuple[Any, ...]]:
            return [("s", "VARCHAR")]

        def fetchone(self) -> Any:
            return self.fetchmany()[0]

        def fetchmany(self, size: int = 1) -> list[Any]:
            fetched.append(size)
            return [("a" * 10_000,)] * size

        def fetchall(self) -> list[Any]:
            raise AssertionError("all rows may be any number of them")

    with pytest.raises(StepFailed, match="more than 100,000 bytes"):
        values.fetch(LongTexts(), 10_000)
    assert sum(fetched) <= 60


def test_the_memory_of_a_statement_is_bounded(shared_sql: GoogleSql) -> None:
    sql = "SELECT LENGTH(STRING_AGG(REPEAT('a', 1000))) FROM UNNEST(GENERATE_ARRAY(1, 1000000)) AS x"
    with pytest.raises(StepFailed, match="needs more memory than the warehouse may use"):
        shared_sql.query(sql)


@pytest.mark.parametrize("function", ["REGEXP_EXTRACT", "REGEXP_EXTRACT_ALL", "REGEXP_SUBSTR"])
def test_a_pattern_is_not_read_as_pythons(function: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse_statement(f"SELECT {function}('a', r'[[:alpha:]]+')")
