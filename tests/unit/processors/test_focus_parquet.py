"""Parquet files of exports, as DuckDB reads them: types, nulls, every digit, several row groups, equal bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from convergence.errors import SchemaMismatch
from convergence.processors.focus.export import parquet
from convergence.processors.focus.export.datasets import Field
from convergence.processors.focus.export.parquet import ParquetFile

FIELDS = (Field("Id"), Field("Cost", "DECIMAL"), Field("At", "TIMESTAMP"), Field("Day", "DATE"))


def written(path: Path, rows: Iterable[Sequence[str]], fields: Sequence[Field] = FIELDS) -> list[Any]:
    """Write rows to `path`; return them as they are read, in the order of the first column."""
    with path.open("wb") as file:
        out = ParquetFile(file, fields)
        out.writerows(rows)
        out.finish()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(f"SELECT * FROM read_parquet('{path}') ORDER BY 1 NULLS LAST").fetchall()


def test_every_kind_has_its_type_and_all_its_digits(tmp_path: Path) -> None:
    most = "9" * 24 + "." + "9" * 14
    rows = [
        ("a", most, "2026-11-01T00:00:00Z", "2026-11-01"),
        ("b", f"-{most}", "1969-12-31T23:59:59Z", "1969-12-31"),
        ('ü "c",\n', "0.00000000000001", "9999-12-31T23:59:59Z", "9999-12-31"),
        ("", "", "", ""),
    ]
    assert written(tmp_path / "rows", rows) == [
        ("a", Decimal(most), datetime(2026, 11, 1, tzinfo=UTC), date(2026, 11, 1)),
        ("b", Decimal(f"-{most}"), datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), date(1969, 12, 31)),
        ('ü "c",\n', Decimal("1E-14"), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), date(9999, 12, 31)),
        (None, None, None, None),
    ]
    with duckdb.connect() as connection:
        types = connection.execute(
            f"SELECT typeof(COLUMNS(*)) FROM read_parquet('{tmp_path / 'rows'}') LIMIT 1"
        ).fetchone()
    assert types == ("VARCHAR", "DECIMAL(38,14)", "TIMESTAMP WITH TIME ZONE", "DATE")


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 10, 20, 25])
def test_nulls_stay_in_their_rows_across_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(parquet, "GROUP_ROWS", 10)
    rows = [(f"{number:02}", str(number) if number % 3 else "", "", "") for number in range(count)]
    expected = [(name, Decimal(cost) if cost else None, None, None) for name, cost, *_ in rows]
    assert written(tmp_path / "rows", rows) == expected


def test_many_columns_and_equal_bytes(tmp_path: Path) -> None:
    fields = [Field(f"Column{number}") for number in range(200)]
    rows = [[f"{row} {column}" for column in range(200)] for row in range(3)]
    assert written(tmp_path / "one", rows, fields) == [tuple(row) for row in rows]
    written(tmp_path / "two", rows, fields)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("cost", ["1" + "0" * 24, "0.000000000000001", "NaN", "many"])
def test_a_value_that_does_not_fit_is_refused_with_its_column(tmp_path: Path, cost: str) -> None:
    with pytest.raises(SchemaMismatch, match="cannot be Parquet: column 'Cost'"):
        written(tmp_path / "rows", [("a", cost, "", "")])
