"""What became of the rows that a step read: it adds up, or the step fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.balance import balanced
from convergence.processors.base import TableProcessor
from tests.unit.processors.step_world import ManualClock, WorldContext


def test_the_parts_of_a_balance_are_what_was_read() -> None:
    assert balanced(7, loaded=3, quarantined=2, filtered=1, duplicate=1) == {
        "balance": {"read": 7, "loaded": 3, "quarantined": 2, "filtered": 1, "duplicate": 1}
    }


@pytest.mark.parametrize("parts", [{"loaded": 6}, {"loaded": 8}, {"loaded": 8, "filtered": -1}])
def test_a_balance_that_does_not_close_fails(parts: dict[str, int]) -> None:
    with pytest.raises(StepFailed, match="the balance does not close: 7 rows were read, but"):
        balanced(7, **parts)


FACTS = {"rate_date": "2026-11-10", "rate": "1", "base_currency": "EUR", "source": "bank"}


class Rates(TableProcessor):
    """Three rows, one of which its transformation leaves out."""

    fixed_table = "currency_rates_daily_raw"

    async def extract(self, _step: Mapping[str, Any], _context: Context) -> AsyncIterator[Sequence[Row]]:
        yield [{"currency": "USD"}, {"currency": "GBP"}]
        yield [{"currency": ""}]

    def transform(self, rows: Sequence[Row], _step: Mapping[str, Any], _context: Context) -> Sequence[Row]:
        return [{**FACTS, **row} for row in rows if row["currency"]]


def test_a_table_that_got_fewer_rows_than_were_staged_fails_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(tmp_path / "warehouse.duckdb", clock=clock)
        try:
            context = WorldContext(None, warehouse, clock)
            answer = await Rates().execute({}, context)
            assert answer["balance"] == {"read": 3, "loaded": 2, "quarantined": 0, "filtered": 1, "duplicate": 0}
            load = context.warehouse.load

            async def loses(*words: Any, **named: Any) -> Any:
                loaded = await load(*words, **named)
                return replace(loaded, rows_loaded=loaded.rows_loaded - 1)

            monkeypatch.setattr(context.warehouse, "load", loses)
            with pytest.raises(StepFailed, match="the balance does not close: 3 rows were read"):
                await Rates().execute({}, context)
        finally:
            warehouse.close()

    asyncio.run(main())
