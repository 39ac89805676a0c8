"""The SQL of columns of Parquet that a load job does not give as they are: exact times and maps, as texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from convergence.adapters.googlesql.types import SqlType
from convergence.adapters.parquet.exact import JULIAN_1970, is_made_plain
from convergence.adapters.parquet.footer import INT96, Field
from convergence.domain.sql_names import bigquery_name
from convergence.errors import SchemaMismatch

_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # microseconds of the years 1 to 9999
_OBJECT: Final = SqlType("MAP")  # as text


def parquet_sources(fields: Sequence[Field], loaded: Mapping[str, SqlType]) -> list[tuple[str, SqlType]]:
    """Return SQL and type of a file's columns; `loaded` are those of the table, whose names may have other characters.

    Raises:
        SchemaMismatch: the table has other columns than the file.
    """
    if len(fields) != len(loaded):
        raise SchemaMismatch(f"BigQuery loaded {len(loaded)} columns of a file that has {len(fields)}.")
    pairs = zip(loaded.items(), fields, strict=True)
    return [_source(bigquery_name(name), kind, field) for (name, kind), field in pairs]


def _source(name: str, kind: SqlType, field: Field) -> tuple[str, SqlType]:
    if field.logical == "MAP":
        return _object(name), _OBJECT
    return (_exact(name, field), SqlType("STRING")) if is_made_plain(field) else (name, kind)


def _object(source: str) -> str:
    """Return the SQL of a map as the text of an object; its keys are as they are."""
    pair = "CONCAT(TO_JSON_STRING(CAST(each.key AS STRING)), ':', TO_JSON_STRING(each.value))"
    pairs = f"ARRAY(SELECT {pair} FROM UNNEST({source}) AS each WITH OFFSET AS place ORDER BY place)"
    keys = f"(SELECT COUNT(DISTINCT CAST(each.key AS STRING)) FROM UNNEST({source}) AS each)"
    # no JSON where a key appears twice, so that it fits nowhere
    end = f"IF({keys} < ARRAY_LENGTH({source}), ' (a key appears twice)', '}}')"
    return f"CONCAT('{{', ARRAY_TO_STRING({pairs}, ','), {end})"


def _exact(source: str, field: Field) -> str:
    """Return the SQL of a column's times as texts: `2026-11-10 10:00:00.123456789+00`."""
    if field.physical == INT96:  # nanoseconds of the day (8 bytes) and the day (4), the lowest byte first
        nanoseconds, day = _number(source, 0, 8), _number(source, 8, 4)
        micros, finer = f"({day} - {JULIAN_1970}) * 86400000000 + DIV({nanoseconds}, 1000)", f"MOD({nanoseconds}, 1000)"
    else:
        finer = f"MOD(MOD({source}, 1000) + 1000, 1000)"
        micros = f"DIV(({source} - {finer}), 1000)"
    pattern = "%H:%M:%E6S" if field.logical == "TIME" else "%Y-%m-%d %H:%M:%E6S"
    moment = f"FORMAT_TIMESTAMP('{pattern}', TIMESTAMP_MICROS({micros}))"
    zone = "+00" if field.physical == INT96 or (field.utc and field.logical == "TIMESTAMP") else ""
    text = f"CONCAT(RTRIM(RTRIM(CONCAT({moment}, LPAD(CAST({finer} AS STRING), 3, '0')), '0'), '.'), '{zone}')"
    return f"IF({micros} BETWEEN {_FIRST} AND {_LAST}, {text}, IF({source} IS NULL, NULL, 'not from 1 to 9999'))"


def _number(source: str, first: int, count: int) -> str:
    places = reversed(range(first, first + count))
    digits = ", ".join(f"SUBSTR(TO_HEX({source}), {2 * place + 1}, 2)" for place in places)
    return f"CAST(CONCAT('0x', {digits}) AS INT64)"
