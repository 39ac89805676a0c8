"""Headers of files, and how DuckDB reads what is not well formed."""

from __future__ import annotations

import asyncio
import math
import random
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.adapters.local.warehouse.file_values import value_of
from convergence.errors import SchemaMismatch
from convergence.ports.warehouse import Column, FileFormat, RowFile, TableSchema
from tests.contract.warehouse.world import StoppedClock

TABLE = TableSchema(
    "bills",
    (Column("id", "INT64", "REQUIRED"), Column("day", "DATE"), Column("note", "STRING"), Column("others", "STRING")),
)


def reading(folder: Path, data: bytes, kind: FileFormat = FileFormat.CSV, **options: object) -> str:
    """Return what a file is refused with; '' when it is read."""
    path = folder / "spooled"
    path.write_bytes(data)
    given = {"optional": frozenset({"day", "note"}), "rest": "others", **options}
    file = RowFile(path=path, format=kind, name="bill", **given)  # type: ignore[arg-type]
    warehouse = DuckDbWarehouse(None, clock=StoppedClock())
    try:
        asyncio.run(warehouse.stage("acme_prod", TABLE, "s").write_file(0, file))
    except SchemaMismatch as error:
        return str(error)
    finally:
        warehouse.close()
    return ""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"id,id\n1,2\n", "line 1: the column 'id' appears more than once"),
        (b"id,\n1,2\n", "line 1: column 2 has no name"),
        (b"ident\n1\n", "there is no column 'id'. Use one of: ident"),
        (b'id,"note\n', "line 1: the header cannot be read"),
        (b"id,note\n1\n", "line 2: 1 values, but the header has 2 columns"),
        (b"id,note\n1,a\n1,a,b\n", "line 3: 3 values, but the header has 2 columns"),
        (b'id,note\n1,"a\n2,b\n', "line 2: a quoted value does not end"),
        (b"id,note\n1,\xff\n", "line 2: it is not UTF-8"),
        (b"id,note\r\n1,a\r\n2,b\n3,c\n", "its lines end in different ways"),
        (b"id" + b",x" * 1_200_000, "line 1 does not end within 1 MiB"),
    ],
)
def test_what_is_not_a_csv_file_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    assert reading(tmp_path, data).startswith(f"bill: {said}")


def test_a_value_that_is_not_of_its_format_names_its_line(tmp_path: Path) -> None:
    said = reading(tmp_path, b"id,day\n1,13/13/2026\n", formats={"day": "%d/%m/%Y"})
    assert said == "bill: line 2: column 'day' is not DATE: '13/13/2026'."


def test_json_that_is_cut_is_refused(tmp_path: Path) -> None:
    assert "bill" in reading(tmp_path, b'{"id": 1}\n{"id": \n', FileFormat.NDJSON)


def test_parquet_that_is_cut_is_refused(tmp_path: Path) -> None:
    assert "bill" in reading(tmp_path, b"PAR1 and no more", FileFormat.PARQUET)


def test_a_nested_column_is_refused(tmp_path: Path) -> None:
    nested = TableSchema("bills", (Column("tags", "STRING", "REPEATED"),))
    path = tmp_path / "spooled"
    path.write_text("tags\na\n")
    warehouse = DuckDbWarehouse(None, clock=StoppedClock())
    stage = warehouse.stage("acme_prod", nested, "s")
    with pytest.raises(SchemaMismatch, match="'tags' is nested"):
        asyncio.run(stage.write_file(0, RowFile(path=path, format=FileFormat.CSV, name="bill")))
    warehouse.close()


def floats() -> list[float]:
    """Money as floats have it: of few digits, sums that are off by one bit, and what no column holds."""
    luck = random.Random(7)
    few = [luck.randrange(-(10**places), 10**places) / 10**scale for places in (3, 9, 15, 16) for scale in range(19)]
    sums = [luck.randrange(10**6) / 100 + luck.randrange(10**6) / 1000 for _ in range(2_000)]
    bits = [math.nextafter(each, side) for each in (*few, *sums[:500]) for side in (math.inf, -math.inf)]
    odd = [
        0.0,
        -0.0,
        0.1 + 0.2,
        1 / 3,
        1e-18,
        1.5e-19,
        5e-324,
        1e15,
        2.0**53,
        1e19,
        1e21,
        math.nan,
        math.inf,
        -math.inf,
    ]
    return [*few, *sums, *bits, *odd, *(luck.uniform(-1e4, 1e4) for _ in range(2_000))]


@pytest.mark.parametrize(("kind", "scale"), [("NUMERIC", 9), ("BIGNUMERIC", 18)])
def test_a_float_is_the_decimal_of_its_shortest_text_or_refused(kind: str, scale: int) -> None:
    given = floats()
    value = value_of(Column("cost", kind), "x", "DOUBLE", RowFile(path=Path(), format=FileFormat.PARQUET, name="bill"))
    database = duckdb.connect()
    database.execute("CREATE TABLE floats AS SELECT unnest($1::DOUBLE[]) AS x", [given])
    found = [one for (one,) in database.execute(f"SELECT {value.lenient} FROM floats").fetchall()]
    database.close()
    for each, came in zip(given, found, strict=True):
        text = Decimal(repr(each)) if math.isfinite(each) else None
        held = text is not None and abs(text) < 10 ** (38 - scale) and _behind(text) <= scale
        assert came == (text if held else None), each
    assert sum(one is not None for one in found) > 1_000


def _behind(number: Decimal) -> int:
    """Return how many digits behind the point count."""
    return -int(number.normalize().as_tuple().exponent)
