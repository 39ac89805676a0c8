"""Digits of a second that no column stores: a file's text with them is refused, or cut where digits may be rounded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time
from typing import Any

import pytest

from convergence.config.files.schemas.fields import with_lineage
from convergence.ports.warehouse import Column, FileFormat, TableSchema, Warehouse
from tests.contract.warehouse.world import Body, a_load, rows_of

Run = Callable[[Body], None]
CLOCKS = TableSchema(
    "clocks",
    with_lineage(
        (Column("id", "INT64"), Column("at", "TIMESTAMP"), Column("seen", "DATETIME"), Column("clock", "TIME"))
    ),
)
WHOLE = ("2026-01-10T01:02:03.1234560Z", "2026-01-10T01:02:03.123456000", "01:02:03.123456000")
FINER = ("2026-01-10T01:02:03.1234567+01:00", "2026-01-10 01:02:03.12345678", "01:02:03.123456789")
CUT = datetime(2026, 1, 10, 1, 2, 3, 123456)


def text_of(kind: FileFormat, rows: list[tuple[str, ...]]) -> str:
    names = ("id", "at", "seen", "clock")
    numbered = [(f"{number}", *row) for number, row in enumerate(rows, 1)]
    if kind is FileFormat.CSV:
        return "\n".join(",".join(row) for row in [names, *numbered]) + "\n"
    lines = ("{" + ", ".join(f'"{n}": "{v}"' for n, v in zip(names, row, strict=True)) + "}" for row in numbered)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("kind", [FileFormat.CSV, FileFormat.NDJSON])
def test_a_row_with_more_digits_of_a_second_than_six_is_refused(run: Run, a_file: Any, kind: FileFormat) -> None:
    rows: list[tuple[str, ...]] = [WHOLE, *((*WHOLE[:place], FINER[place], *WHOLE[place + 1 :]) for place in range(3))]
    file = a_file(text_of(kind, rows), format=kind, optional=frozenset(), rest="", bad_rows="set_aside")

    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", CLOCKS, "s")
        found = await stage.write_file(0, file)
        assert sorted((next(iter(bad.problems.items())) for bad in found.bad), key=lambda each: each[0]) == [
            ("at", f"is not TIMESTAMP of whole microseconds: {FINER[0]!r}"),
            ("clock", f"is not TIME of whole microseconds: {FINER[2]!r}"),
            ("seen", f"is not DATETIME of whole microseconds: {FINER[1]!r}"),
        ]
        await warehouse.load(a_load(CLOCKS), stage)
        loaded = await rows_of(warehouse, "SELECT id, at, seen, clock FROM clocks")
        assert loaded == [(1, CUT.replace(tzinfo=UTC), CUT, time(1, 2, 3, 123456))]

    run(body)


def test_such_digits_are_cut_where_digits_may_be_rounded(run: Run, a_file: Any) -> None:
    file = a_file(text_of(FileFormat.CSV, [FINER]), optional=frozenset(), rest="", digits="round")

    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", CLOCKS, "s")
        await stage.write_file(0, file)
        await warehouse.load(a_load(CLOCKS), stage)
        loaded = await rows_of(warehouse, "SELECT id, at, seen, clock FROM clocks")
        assert loaded == [(1, CUT.replace(hour=0, tzinfo=UTC), CUT, time(1, 2, 3, 123456))]

    run(body)
