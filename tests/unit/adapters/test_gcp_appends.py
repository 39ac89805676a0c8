"""Rows that BigQuery's streaming side does not take, though they fit the table."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from convergence.adapters.gcp.warehouse.append import Appends
from convergence.adapters.retry import retried
from convergence.errors import SchemaMismatch, Transient
from convergence.ports.warehouse import Column, TableSchema
from tests.simulation.faults import SeededIds
from tests.unit.adapters.firestore_world import BusyClock

TABLE = TableSchema(name="log", columns=(Column(name="id", type="INTEGER"), Column(name="added", type="STRING")))


def refused(message: str) -> list[dict[str, Any]]:
    """What `tabledata.insertAll` answers when it takes none of two rows because of the second."""
    stopped = {"index": 0, "errors": [{"reason": "stopped", "message": ""}]}
    return [stopped, {"index": 1, "errors": [{"reason": "invalid", "location": "added", "message": message}]}]


class BigQuery:
    """Answers inserts one after the other; takes everything when no answer is left."""

    project = "p"

    def __init__(self, *answers: list[dict[str, Any]]) -> None:
        self.answers = list(answers)
        self.calls = 0
        self.sent: list[list[str]] = []  # the ids of each request

    def insert_rows_json(self, path: str, rows: Any, row_ids: Any, **_: Any) -> list[dict[str, Any]]:
        self.calls += 1
        self.sent.append(row_ids)
        assert len(json.dumps({"rows": [{"json": row, "insertId": "i" * 40} for row in rows]})) < 10_000_000
        return self.answers.pop(0) if self.answers else []

    async def call(self, work: Callable[[Any], Any], *, doing: str, total_s: float) -> Any:
        async def once() -> Any:
            return work(self)

        return await retried(once, clock=BusyClock(), ids=SeededIds(Random(1)), total_s=total_s)

    async def ensure_table(self, dataset: str, table: TableSchema) -> None:
        return None

    def append(self, *added: str | None) -> None:
        appends = Appends(self, self)  # type: ignore[arg-type]  # it is all of both that an append asks for
        rows = [{"id": number, "added": value} for number, value in enumerate(added or (None, "x"))]
        asyncio.run(appends.append("d", TABLE, rows, [str(number) for number in range(len(rows))]))


def test_a_column_that_was_just_added_is_waited_for() -> None:
    bigquery = BigQuery(*3 * [refused("no such field: added.")])
    bigquery.append()
    assert bigquery.calls == 4


def test_a_column_that_stays_unknown_leaves_the_rows_to_a_later_delivery() -> None:
    with pytest.raises(Transient, match=r"waiting for BigQuery to see the new columns of d\.log"):
        BigQuery(*1000 * [refused("no such field: added.")]).append()


def test_a_value_that_does_not_fit_is_final_at_once() -> None:
    bigquery = BigQuery(refused("Cannot convert value to integer."))
    with pytest.raises(SchemaMismatch, match="added: Cannot convert"):
        bigquery.append()
    assert bigquery.calls == 1


def test_a_request_is_bounded_by_bytes_and_by_rows() -> None:
    bigquery = BigQuery()
    bigquery.append(*80 * ["ü" * 23_000])  # 138 kB each, as \\u00fc
    assert [len(ids) for ids in bigquery.sent] == [65, 15]
    bigquery.append(*501 * ["x"])
    assert [len(ids) for ids in bigquery.sent[2:]] == [500, 1]
    assert [each for ids in bigquery.sent[:2] for each in ids] == [str(number) for number in range(80)]


def test_a_row_that_no_request_holds_is_refused_before_any_is_sent() -> None:
    bigquery = BigQuery()
    with pytest.raises(SchemaMismatch, match=r"log: row 2 has 9,000,1\d\d bytes; a request may have 9,000,000"):
        bigquery.append("x", "y" * 9_000_000)
    assert bigquery.calls == 0
