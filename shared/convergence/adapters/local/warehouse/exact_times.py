"""The SQL of times of Parquet that `parquet.exact` has made plain: texts with all their digits."""

from __future__ import annotations

from typing import Final

from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.parquet.exact import JULIAN_1970
from convergence.adapters.parquet.footer import INT96, Field

EXACT_TIME: Final = "EXACT_TIME"  # the type of these texts, beside those of DuckDB


def exact_time(field: Field) -> str:
    """Return the SQL of a column's times as texts: `2026-11-10 10:00:00.123456789+00`."""
    source = duckdb_name(field.name)
    if field.physical == INT96:  # nanoseconds of the day (8 bytes) and the day (4), the lowest byte first
        nanoseconds, day = _number(source, 0, 8), _number(source, 8, 4)
        micros, finer = f"({day} - {JULIAN_1970}) * 86400000000 + {nanoseconds} // 1000", f"{nanoseconds} % 1000"
    else:
        finer = f"(({source} % 1000 + 1000) % 1000)"
        micros = f"({source} - {finer}) // 1000"
    pattern = "%H:%M:%S.%f" if field.logical == "TIME" else "%Y-%m-%d %H:%M:%S.%f"
    text = f"strftime(make_timestamp({micros}), '{pattern}') || lpad(CAST({finer} AS VARCHAR), 3, '0')"
    zone = " || '+00'" if field.physical == INT96 or (field.utc and field.logical == "TIMESTAMP") else ""
    return f"(rtrim(rtrim({text}, '0'), '.'){zone})"


def _number(source: str, first: int, count: int) -> str:
    digits = " || ".join(
        f"substr(hex({source}), {2 * place + 1}, 2)" for place in reversed(range(first, first + count))
    )
    return f"CAST('0x' || {digits} AS BIGINT)"
