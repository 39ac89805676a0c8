"""The price list as the org has it: the one that was seeded last, whichever pipeline did it."""

from __future__ import annotations

from typing import Final

from convergence.ports.processor import Context
from convergence.ports.warehouse import Row

ROWS_MAX: Final = 1_000_000


async def seeded_prices(context: Context, table: str) -> list[Row]:
    """Return the rows of `table` (a provider's price list) of the latest seeding; none when there was none."""
    latest = f"SELECT x_run_id FROM {table} ORDER BY x_ingested_at DESC, x_run_id LIMIT 1"  # noqa: S608 - our own name
    sql = f"SELECT * FROM {table} WHERE x_run_id = ({latest})"  # noqa: S608 - as above
    return list((await context.warehouse.query(sql, rows_max=ROWS_MAX)).rows)
