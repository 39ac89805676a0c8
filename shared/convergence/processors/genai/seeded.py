"""A price list as rows: the one that the org seeded last, or a file that might be seeded next."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from convergence.domain.sql_names import bigquery_name
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.openai.seed_csv import batches

ROWS_MAX: Final = 1_000_000


def _amount(text: str) -> Decimal:
    amount = Decimal(text)
    if not amount.is_finite():
        raise ValueError("no number")
    return amount


# Columns that are not text; the others are taken unchanged.
TYPES: Final[dict[str, Any]] = {
    "price": _amount,
    "above_input_tokens": int,
    "effective_from": date.fromisoformat,
    "effective_to": date.fromisoformat,
}
# Required columns, as in the schema file of the seeded table.
FILLED: Final = frozenset(
    {"model", "kind", "unit", "processing", "above_input_tokens", "price", "currency", "source", "source_version"}
)


async def seeded_prices(context: Context, table: str) -> list[Row]:
    """Return the rows of `table` (a provider's price list) of the latest seeding; none when there was none."""
    table = bigquery_name(table)
    latest = f"SELECT x_run_id FROM {table} ORDER BY x_ingested_at DESC, x_run_id LIMIT 1"  # noqa: S608 - our own name
    sql = f"SELECT * FROM {table} WHERE x_run_id = ({latest})"  # noqa: S608 - as above
    return list((await context.warehouse.query(sql, rows_max=ROWS_MAX)).rows)


def prices_in(data: bytes, name: str) -> list[Row]:
    """Return the rows of a price list that is not seeded yet. Raises `StepFailed` with the line that is wrong."""
    rows = [row for batch in batches(data, name) for row in batch]
    missing = sorted({*FILLED, *TYPES, "model_match"} - rows[0].keys())
    if missing:
        raise StepFailed(f"{name}:1: a price list must also have the columns {', '.join(missing)}")
    return [typed(row, f"{name}:{number}") for number, row in enumerate(rows, 2)]


def typed(row: Row, where: str) -> Row:
    """Return a row of texts as values of the table's types. Raises `StepFailed` for a text that does not fit."""
    if empty := sorted(column for column in FILLED if row[column] is None):
        raise StepFailed(f"{where}: {' and '.join(empty)} must not be empty")
    found = dict(row)
    for column, read in TYPES.items():
        if row[column] is not None:
            try:
                found[column] = read(row[column])
            except (ValueError, InvalidOperation) as error:
                raise StepFailed(f"{where}: {column} is {row[column]!r}: not a value of its type") from error
    return found
