"""What `convert` says of a value is what the embedded warehouse does with it: it loads, and as the same value."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from convergence.adapters.googlesql.fitting import as_json, with_texts
from convergence.adapters.googlesql.types import column_type
from convergence.adapters.local.duckdb_sql.types import duckdb_type
from convergence.adapters.local.warehouse.rows import rows_of_files
from convergence.ports.column_values import convert, day_of, type_name, unknown_field
from convergence.ports.warehouse import Column, TableSchema

SCALARS = (
    "STRING",
    "BOOL",
    "INT64",
    "FLOAT64",
    "NUMERIC",
    "BIGNUMERIC",
    "DATE",
    "DATETIME",
    "TIMESTAMP",
    "TIME",
    "BYTES",
)
PARTS = (Column("number", "NUMERIC"), Column("day", "DATE"), Column("words", "STRING", "REPEATED"))
COLUMNS = (
    *(Column("value", kind) for kind in SCALARS),
    *(Column("value", kind, "REPEATED") for kind in ("INT64", "DATE", "NUMERIC", "STRING")),
    Column("value", "STRUCT", fields=PARTS),
    Column("value", "RECORD", "REPEATED", fields=PARTS),
    Column("value", "STRUCT", fields=(Column("n", "INTEGER", "REQUIRED"), Column("inner", "STRUCT", fields=PARTS))),
)

digits = st.text("0123456789", min_size=1, max_size=32)
number_texts = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "-", "+", " "]),
        digits,
        st.sampled_from(["", ".", ".0", ".5", ".00", "_0", " ", "e", ".e1"]),
        st.sampled_from(["", "0", "e2", "E-3", "e+18", "e400", "e-400", "99999999999999999999"]),
    ),
)  # fmt: skip
odd_numbers = st.sampled_from(
    ["", ".5", "5.", "+5", "0x1F", "0b11", "1_000", "NaN", "inf", "-Infinity", "٣", "1e", "0e30", "9223372036854775807",
     "9223372036854775808", "-9223372036854775808", "99999999999999999999999999999.9999999996", "1e29", "1e28", "1e20",
     "99999999999999999999.9999999999999999999", "12345678901.123456", "0.0000000005", "\t7\n", "\v7", "true", "1,5"]
)  # fmt: skip
days = st.sampled_from(
    ["2026-11-10", "2026-02-30", "2024-02-29", "0001-01-01", "0000-01-01", "9999-12-31", "2026-1-5", "20261110",
     "2026/11/10", "epoch", "infinity", "2026-W45-1", "2026-11-10 (BC)", " 2026-11-10", "10000-01-01"]
)  # fmt: skip
clocks = st.sampled_from(
    ["", "T", "T23:30", "T23:30:00", " 23:30:00.5", "T23:30:59.123456789", "T23:30:00.1234565",
     "t00:00:00", "T24:00:00",
     "T23:30:60", "T23", "T23:30:00,5", "x23:30"]
)  # fmt: skip
offsets = st.sampled_from(
    [
        "",
        "Z",
        "z",
        " UTC",
        "-05:00",
        "+0530",
        "+05",
        "+14:00",
        "-14:59",
        "+15:00",
        " +05:00",
        " Europe/Berlin",
        "+05:00:30",
    ]
)
moments = st.builds("".join, st.tuples(days, clocks, offsets))
base64 = st.one_of(st.text("AZaz09+/=", max_size=9), st.sampled_from(["YQ==", "YR==", "YQ", "YQ==\n", "-_-_", "Y Q=="]))
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=3),
    number_texts, number_texts.map(str.strip), odd_numbers,
    moments, clocks.map(lambda text: text[1:]), base64, st.text(max_size=5),
    st.sampled_from(["true", "TRUE", "t", "yes", "1", "0", "on", "False"]),
    st.dates(), st.datetimes(timezones=st.just(UTC)),
)  # fmt: skip
objects = st.fixed_dictionaries(
    {}, optional={"number": scalars, "day": scalars, "n": scalars, "words": st.lists(st.text(max_size=3), max_size=2)}
)
values = st.one_of(scalars, st.lists(scalars, max_size=3), objects, st.lists(objects, max_size=2),
                   st.fixed_dictionaries({"n": scalars, "inner": objects}))  # fmt: skip


class Loader:
    """Reads one staged value as a load does."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "part.json"
        self._database = duckdb.connect()
        self._database.execute("SET TimeZone = 'UTC'")

    def load(self, column: Column, value: Any) -> Any:
        """Return the stored value. Raises `duckdb.Error` when it is refused."""
        rows = [with_texts([column], {"value": value})]
        self._file.write_bytes(orjson.dumps(rows, default=as_json, option=orjson.OPT_UTC_Z))
        source = rows_of_files(TableSchema("t", (column,)), [str(self._file)])
        self._database.execute(f'CREATE OR REPLACE TABLE t ("value" {duckdb_type(column_type(column))})')
        self._database.execute(f"INSERT INTO t {source}")
        (found,) = self._database.execute("SELECT value FROM t").fetchone() or ()
        if found is None and column.mode == "REQUIRED":
            raise duckdb.ConstraintException("no value")
        return found


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    return Loader(tmp_path_factory.mktemp("staged"))


NO_VALUE = object()
EXACT = Decimal("12345678901.1234567890123")  # a float would round it


def converted(column: Column, value: Any) -> Any:
    try:
        return convert(column, value)
    except ValueError:
        return NO_VALUE


def loaded(loader: Loader, column: Column, value: Any) -> Any:
    try:
        return loader.load(column, value)
    except (duckdb.Error, UnicodeDecodeError):  # a message that quotes half a character
        return NO_VALUE


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(column=st.sampled_from(COLUMNS), value=values)
@example(column=Column("value", "TIMESTAMP"), value="0000-01-01T23:30:00Z")
@example(column=Column("value", "DATE"), value="0001-01-01T00:00:00+05:00")
@example(column=Column("value", "DATETIME"), value="9999-12-31T23:59:59-05:00")
@example(column=Column("value", "BYTES"), value=1234)
@example(column=Column("value", "INT64"), value="5.0000000000000000001")
@example(column=Column("value", "FLOAT64"), value=True)
@example(column=Column("value", "FLOAT64"), value="0e99999")
@example(column=Column("value", "NUMERIC"), value="00000e12345 ")
@example(column=Column("value", "NUMERIC"), value="1" + 28 * "0" + "0E-3")
@example(column=Column("value", "NUMERIC"), value="-" + 32 * "9" + ".5E-3")
@example(column=Column("value", "BIGNUMERIC"), value="+.5e-400")
@example(column=Column("value", "NUMERIC"), value="1.2.3e2")
def test_a_value_loads_exactly_when_quarantine_lets_it_through_and_as_the_same(
    loader: Loader, column: Column, value: Any
) -> None:
    judged = converted(column, value)
    found = loaded(loader, column, value)
    assert (judged is NO_VALUE) == (found is NO_VALUE), (column, value, judged, found)
    of_text = type_name(column) != "STRING" or judged == value  # a float as a STRING has more than one spelling
    if judged is not NO_VALUE and of_text:
        assert loaded(loader, column, judged) == found


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("DATE", "2026-11-10T23:30:00-05:00", "2026-11-11"),
        ("DATETIME", "2026-11-10T23:30:00-05:00", "2026-11-11T04:30:00"),
        ("TIMESTAMP", "2026-11-10T23:30:00-05:00", "2026-11-11T04:30:00Z"),
        ("DATE", "2026-11-10T23:30:00", "2026-11-10"),
        ("NUMERIC", 0.1, "0.1"),
        ("NUMERIC", "0.0000000005", "0.000000001"),
        ("BIGNUMERIC", Decimal("12345678901234567890.123456789012345678"), "12345678901234567890.123456789012345678"),
        ("INT64", 1e3, "1000"),
        ("STRING", Decimal("12345678901.123456"), "12345678901.123456"),
        ("STRING", {"a": 1}, '{"a":1}'),
        ("STRING", {"a": [EXACT, {"b": EXACT}]}, '{"a":[12345678901.1234567890123,{"b":12345678901.1234567890123}]}'),
        ("STRING", [Decimal(12345678901234567890123), 7], "[12345678901234567890123,7]"),
    ],
)
def test_a_value_becomes_one_spelling(kind: str, value: Any, stored: Any) -> None:
    assert convert(Column("x", kind), value) == stored


@pytest.mark.parametrize(
    ("column", "value", "stored"),
    [
        (Column("value", "STRING"), {"a": EXACT}, f'{{"a":{EXACT}}}'),
        (Column("value", "STRING"), [EXACT, {"b": [EXACT]}], f'[{EXACT},{{"b":[{EXACT}]}}]'),
        (Column("value", "STRING", "REPEATED"), ["x", {"a": EXACT}], ["x", f'{{"a":{EXACT}}}']),
        (Column("value", "STRUCT", fields=PARTS), {"words": [{"a": EXACT}]}, {"words": [f'{{"a":{EXACT}}}']}),
    ],
)
def test_a_number_inside_an_object_stays_a_number_with_its_digits(
    loader: Loader, column: Column, value: Any, stored: Any
) -> None:
    found = loader.load(column, value)
    assert (found if not isinstance(found, dict) else {"words": found["words"]}) == stored
    assert convert(column, value) == found


@pytest.mark.parametrize(
    ("column", "value", "path"),
    [
        (Column("tag", "STRUCT", fields=PARTS), {"number": 1, "extra": 2}, "tag.extra"),
        (Column("tag", "RECORD", "REPEATED", fields=PARTS), [{"number": 1}, {"x": None}], "tag.x"),
        (Column("tag", "STRUCT", fields=(Column("in", "STRUCT", fields=PARTS),)), {"in": {"y": 1}}, "tag.in.y"),
        (Column("tag", "STRUCT", fields=PARTS), {"number": {"any": 1}}, None),
        (Column("tag", "JSON"), {"any": 1}, None),
        (Column("tag", "STRUCT", fields=PARTS), None, None),
    ],
)
def test_a_field_that_a_struct_has_not_is_found(column: Column, value: Any, path: str | None) -> None:
    assert unknown_field(column, value) == path


@pytest.mark.parametrize("kind", SCALARS)
def test_nothing_is_refused_where_a_value_is_required(kind: str) -> None:
    with pytest.raises(ValueError, match="no value"):
        convert(Column("x", kind, "REQUIRED"), None)
    assert convert(Column("x", kind), None) is None


def test_a_day_is_that_of_utc() -> None:
    assert day_of("2026-11-10T23:30:00-05:00") == date(2026, 11, 11)
    assert day_of(datetime(2026, 11, 10, 23, tzinfo=UTC)) == day_of(date(2026, 11, 10)) == date(2026, 11, 10)
