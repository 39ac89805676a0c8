"""Parquet files: what their footers say, how damaged ones are refused, and how BigQuery is asked to load them."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import pytest

from convergence.adapters.gcp.warehouse.file_rows import load_config
from convergence.adapters.parquet.columns import columns_of, parquet_columns
from convergence.adapters.parquet.exact import make_plain
from convergence.adapters.parquet.footer import FIXED, INT32, Field, read_footer
from convergence.adapters.parquet.thrift import Reader
from convergence.errors import SchemaMismatch
from convergence.ports.warehouse import Column, FileFormat, RowFile


def made(tmp_path: Path, query: str) -> Path:
    path = tmp_path / "made.parquet"
    duckdb.sql(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


def test_a_load_job_is_asked_for_lists_maps_enums_and_all_digits(tmp_path: Path) -> None:
    file = RowFile(path=tmp_path / "a", format=FileFormat.PARQUET, name="a")
    assert load_config(file, (), {"org": "acme"}).to_api_repr() == {
        "labels": {"org": "acme"},
        "load": {
            "autodetect": True,
            "decimalTargetTypes": ["NUMERIC", "BIGNUMERIC"],
            "parquetOptions": {
                "enableListInference": True,
                "enumAsString": True,
                "mapTargetType": "ARRAY_OF_STRUCT",
            },
            "sourceFormat": "PARQUET",
            "writeDisposition": "WRITE_TRUNCATE",
        },
    }


def test_every_type_has_its_column(tmp_path: Path) -> None:
    query = """SELECT 1::TINYINT AS a, 1::UBIGINT AS b, 1::FLOAT AS c, 1::DECIMAL(38, 9) AS d, 1::DECIMAL(38, 8) AS e,
      0.5::DECIMAL(10, 10) AS f, gen_random_uuid() AS g, 'x'::ENUM ('x', 'y') AS h, '{}'::JSON AS i, TIME '10:00' AS j,
      [[1]] AS k, [{'a': 1, 'b': ['x']}] AS l, MAP {1: [2]} AS m, INTERVAL 1 DAY AS n, 'x'::BLOB AS o,
      TIMESTAMP_MS '2026-01-10' AS p, TIMESTAMP_NS '2026-01-10' AS q, DATE '2026-01-10' AS r, false AS s"""
    found = {column.name: column for column in parquet_columns(made(tmp_path, query))}
    kinds = "INT64 INT64 FLOAT64 NUMERIC BIGNUMERIC BIGNUMERIC STRING STRING JSON TIME JSON STRUCT JSON INTERVAL BYTES"
    kinds += " DATETIME DATETIME DATE BOOL"
    assert [column.type for column in found.values()] == kinds.split()
    assert (found["l"].mode, found["k"].mode) == ("REPEATED", "NULLABLE")
    assert found["l"].fields == (Column("a", "INT64"), Column("b", "STRING", "REPEATED"))


def test_only_the_changed_columns_become_plain(tmp_path: Path) -> None:
    columns = "i AS id, make_timestamp_ns(i) AS moment, 'é' || i AS name, make_timestamp_ns(i) AS kept"
    path = made(tmp_path, f"SELECT {columns} FROM range(50000) t(i)")
    make_plain(path, read_footer(path), {"moment"})
    assert [each.logical for each in read_footer(path).columns] == ["INTEGER", "", "STRING", "TIMESTAMP"]
    select = f"SELECT count(*), sum(moment), sum(epoch_ns(kept)), max(name) FROM read_parquet('{path}')"
    total = sum(range(50_000))
    assert duckdb.execute(select).fetchall() == [(50_000, total, total, "é9999")]


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_file_is_refused_or_read_and_nothing_else(tmp_path: Path, seed: int) -> None:
    path = made(tmp_path, "SELECT 1 AS id, [{'a': TIMESTAMP_NS '2026-01-10'}] AS listed, 1.5::DECIMAL(9, 2) AS cost")
    chance = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(3):
        data[chance.randrange(len(data) // 2, len(data))] = chance.randrange(256)
    path.write_bytes(bytes(data[: chance.randrange(4, len(data))]) if seed % 4 == 0 else bytes(data))
    file = RowFile(path=path, format=FileFormat.PARQUET, name="a.parquet")
    reason = ""
    try:
        assert isinstance(columns_of(file), tuple)
    except SchemaMismatch as error:
        reason = str(error)
    assert not reason or reason.startswith("a.parquet: it cannot be read as Parquet: ")


def test_a_text_that_ends_too_early_is_refused() -> None:
    with pytest.raises(ValueError, match="a text does not end"):
        Reader(b"\x7fab").text()


def test_older_lists_have_their_elements_in_the_repeated_part(tmp_path: Path) -> None:
    """As Avro and Thrift wrote them: `repeated int32 array`, and records without a group around them."""
    from convergence.adapters.parquet import columns

    def part(name: str, repetition: int, *fields: Field, logical: str = "", physical: int | None = None) -> Field:
        return Field(name, physical, 0, repetition, logical, False, "", 0, 0, (0, 0), fields)

    number = part("array", 2, physical=INT32)
    pair = part("array", 2, part("a", 1, physical=INT32), part("b", 1, physical=FIXED))
    single = part("tags_tuple", 2, part("a", 1, physical=INT32))
    lists = [part("tags", 1, inner, logical="LIST") for inner in (number, pair, single)]
    kinds = [str(columns._type(each)) for each in lists]  # noqa: SLF001 - no writer at hand makes such files, so the footer is built
    assert kinds == ["ARRAY<INT64>", "ARRAY<STRUCT<a INT64, b BYTES>>", "ARRAY<STRUCT<a INT64>>"]
    bare = part("bare", 2, physical=INT32)
    assert str(columns._type(bare)) == "ARRAY<INT64>"  # noqa: SLF001 - no writer at hand makes such files
