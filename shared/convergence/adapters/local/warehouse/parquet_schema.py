"""The columns of a Parquet file, with the types that its writer gave them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from convergence.adapters.googlesql.types import SqlType, described
from convergence.adapters.local.duckdb_sql.types import BIGNUMERIC, NUMERIC, from_duckdb
from convergence.adapters.local.warehouse.errors import plain_message
from convergence.adapters.local.warehouse.named_sql import quoted, statement
from convergence.errors import InvalidInput
from convergence.ports.warehouse import Column

_DECIMAL: Final = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_WHOLE_DIGITS: Final = 29  # of a NUMERIC, before the decimal point; nine are after it


def parquet_columns(file: Path) -> tuple[Column, ...]:
    """Return the columns in the file's order; a DECIMAL is a NUMERIC, or a BIGNUMERIC where it has more digits.

    Raises:
        InvalidInput: the file does not exist, or is not Parquet.
    """
    import duckdb

    database = duckdb.connect(":memory:", config={"autoload_known_extensions": False})
    try:
        rows = database.execute(statement("parquet_columns", file=quoted(str(file)))).fetchall()
    except duckdb.Error as error:
        raise InvalidInput(f"{file} cannot be read as Parquet: {plain_message(error)}") from error
    finally:
        database.close()
    return tuple(described(str(name), _type(str(kind))) for name, kind, *_ in rows)


def _type(kind: str) -> SqlType:
    return SqlType("JSON") if kind.startswith("MAP(") else from_duckdb(_DECIMAL.sub(_exact, kind))


def _exact(found: re.Match[str]) -> str:
    """A DECIMAL of few digits would be read as the FLOAT64 of a literal."""
    width, scale = int(found[1]), int(found[2])
    return NUMERIC if scale <= 9 and width - scale <= _WHOLE_DIGITS else BIGNUMERIC
