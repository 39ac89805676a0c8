"""Rows of a file that are kept whole: all fields, all digits, and the digest that identifies a row."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.config.files.schemas.table import load_table_schema
from convergence.errors import SchemaMismatch
from convergence.ports.warehouse import Column, FileFormat, RowFile, TableSchema, Warehouse
from tests.contract.warehouse.files_of_rows import Run
from tests.contract.warehouse.world import JAN_1, JAN_2, a_load, rows_of

RECORDS = """[
  {"name": "record", "type": "JSON", "mode": "REQUIRED"}, {"name": "id", "type": "STRING"},
  {"name": "day", "type": "DATE"}
]"""
LONG = "123456789012.123456789012345678"


def whole_files(tmp_path: Path) -> list[tuple[FileFormat, bytes, list[dict[str, Any]]]]:
    """Each format, and the records that its file holds."""
    import duckdb

    csv = f'id,day,cost,"a ""b"""\n07,2026-01-01,{LONG},\n8,2026-01-02,1.10,"x,\ny"\n'
    lines = (
        f'{{"id": "07", "day": "2026-01-01", "cost": {LONG}, "n": 1.5,'
        ' "deep": {"a": [1, null, "12345678901234567890"]}}\n'
        "\n"
        '{"id": 8, "day": "2026-01-02", "big": 12345678901234567890, "odd/~\\"name": true, "none": null}\n'
    )
    parquet = tmp_path / "made.parquet"
    duckdb.connect().execute(
        f"COPY (SELECT '07' AS id, DATE '2026-01-01' AS day, {LONG}::DECIMAL(38, 18) AS cost,"
        " 1.50::DECIMAL(9, 2) AS n, 0.1::DOUBLE AS f, 7::BIGINT AS i, true AS b, [1, 2] AS l, NULL::VARCHAR AS e)"
        f" TO '{parquet}' (FORMAT parquet)"
    )
    return [
        (
            FileFormat.CSV,
            csv.encode(),
            [
                {"id": "07", "day": "2026-01-01", "cost": LONG, 'a "b"': None},
                {"id": "8", "day": "2026-01-02", "cost": "1.10", 'a "b"': "x,\ny"},
            ],
        ),
        (
            FileFormat.NDJSON,
            lines.encode(),
            [
                {
                    "id": "07",
                    "day": "2026-01-01",
                    "cost": LONG,
                    "n": 1.5,
                    "deep": {"a": [1, None, "12345678901234567890"]},
                },
                {"id": 8, "day": "2026-01-02", "big": "12345678901234567890", 'odd/~"name': True, "none": None},
            ],
        ),
        (
            FileFormat.PARQUET,
            parquet.read_bytes(),
            [
                {
                    "id": "07",
                    "day": "2026-01-01",
                    "cost": LONG,
                    "n": 1.5,
                    "f": 0.1,
                    "i": 7,
                    "b": True,
                    "l": [1, 2],
                    "e": None,
                }
            ],
        ),
    ]


@pytest.mark.parametrize("place", range(3), ids=["csv", "ndjson", "parquet"])
def test_rows_are_kept_whole_with_all_digits(run: Run, tmp_path: Path, place: int) -> None:
    """A number keeps its digits: as a text where a float has fewer."""
    kind, data, expected = whole_files(tmp_path)[place]
    (tmp_path / "records.json").write_text(RECORDS)
    table = load_table_schema(tmp_path / "records.json")
    path = tmp_path / "spooled"
    path.write_bytes(data)
    file = RowFile(path=path, format=kind, name="records", whole="record", day="day")

    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", table, "s")
        staged = await stage.write_file(0, file)
        assert (staged.rows, staged.days) == (len(expected), (JAN_1, JAN_2)[: len(expected)])
        await warehouse.load(a_load(table, dates=(JAN_1, JAN_2), date_field="day"), stage)
        rows = await rows_of(warehouse, "SELECT record, id FROM records ORDER BY day")
        assert [(record, id_) for record, id_ in rows] == [(each, str(each["id"])) for each in expected]

    run(body)


@pytest.mark.parametrize("whole", [False, True], ids=["columns", "records"])
@pytest.mark.parametrize(
    "twins", ['{"id": 2, "cost": 1, "cost": 2}', '{"id": 2, "cost": 1, "note": [{"a" :1, "b": "\\":", "a": 2}]}']
)
def test_a_key_that_is_there_twice_is_refused(
    run: Run, bills: TableSchema, tmp_path: Path, a_file: Any, twins: str, whole: bool
) -> None:
    """A reader would keep one of the values, and say nothing."""
    (tmp_path / "records.json").write_text(RECORDS)
    table = load_table_schema(tmp_path / "records.json") if whole else bills
    text = '{"id": 1, "cost": 1, "note": "\\"a\\": 1"}\n\n' + twins + "\n"
    file = a_file(text, format=FileFormat.NDJSON, whole="record" if whole else "")

    async def body(warehouse: Warehouse) -> None:
        with pytest.raises(SchemaMismatch, match=f"line 3: the key '{'cost' if 'note' not in twins else 'a'}'"):
            await warehouse.stage("acme_prod", table, "s").write_file(0, file)

    run(body)


@pytest.mark.parametrize(
    "odd", ['{"id": NaN}', '{"id": 1,}', '{"id": 1e400}', '{"id": -Infinity}', '{"id": 1}{"id": 2}']
)
@pytest.mark.parametrize("whole", [False, True], ids=["columns", "records"])
def test_a_line_that_is_not_json_is_refused_by_its_number(
    run: Run, bills: TableSchema, tmp_path: Path, a_file: Any, odd: str, whole: bool
) -> None:
    """DuckDB accepts it as JSON, but no query can read what it stored."""
    (tmp_path / "records.json").write_text(RECORDS)
    table = load_table_schema(tmp_path / "records.json") if whole else bills
    file = a_file('{"id": 1}\n\n' + odd + "\n", format=FileFormat.NDJSON, whole="record" if whole else "")

    async def body(warehouse: Warehouse) -> None:
        with pytest.raises(SchemaMismatch, match=r"bill\.csv: line 3: this is not JSON\."):
            await warehouse.stage("acme_prod", table, "s").write_file(0, file)

    run(body)


def test_digits_of_json_numbers_are_kept_in_columns(run: Run, bills: TableSchema, a_file: Any) -> None:
    text = '{"id": 1, "cost": 12345678901.123456789012345678}\n{"id": 9007199254740993, "cost": 0.1}\n'
    file = a_file(text, format=FileFormat.NDJSON)

    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", bills, "s")
        await stage.write_file(0, file)
        await warehouse.load(a_load(bills), stage)
        assert await rows_of(warehouse, "SELECT id, cost FROM bills ORDER BY id") == [
            (1, Decimal("12345678901.123456789012345678")),
            (9007199254740993, Decimal("0.1")),
        ]

    run(body)


def test_a_row_is_known_by_all_that_the_file_says_in_it(run: Run, bills: TableSchema, a_file: Any) -> None:
    """Whatever the order of the columns, and whether one that says nothing is there; both warehouses alike."""
    texts = (
        "id,cost,note,Odd\n1,0.10,a,x\n1,0.10,a,x\n1,0.1,a,x\n1,0.10,,x\n",
        "Odd,note,day,id,cost\nx,a,,1,0.10\n",
    )

    async def body(warehouse: Warehouse) -> None:
        table = replace(bills, columns=(*bills.columns, Column("known_by", "STRING")))
        stage = warehouse.stage("acme_prod", table, "s")
        for part, text in enumerate(texts):
            await stage.write_file(part, a_file(text, digest="known_by"))
        await warehouse.load(a_load(table), stage)
        found = await rows_of(warehouse, "SELECT known_by, COUNT(*) FROM bills GROUP BY 1 ORDER BY 2 DESC, 1")
        digests = [
            hashlib.md5("\x1f".join(words).encode(), usedforsecurity=False).hexdigest()[:16]
            for words in (
                ("Odd=x", "cost=0.10", "id=1", "note=a"),
                ("Odd=x", "cost=0.1", "id=1", "note=a"),
                ("Odd=x", "cost=0.10", "id=1"),
            )
        ]
        assert found == [(digests[0], 3), *((each, 1) for each in sorted(digests[1:]))]

    run(body)
