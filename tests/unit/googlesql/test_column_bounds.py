"""Columns with a length or precision: what is written is rounded or refused, as BigQuery's reference says."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.unit.googlesql.conftest import GoogleSql

from convergence.errors import StepFailed

COLUMNS = "cost NUMERIC(10, 2) DEFAULT 0.125, code STRING(3), raw BYTES(2), rate BIGNUMERIC(6, 3), n INT64"
LARGE, LONG = r"has more digits than the column cost NUMERIC\(10, 2\)", r"too long for the column code STRING\(3\)"


@pytest.fixture
def t(sql: GoogleSql) -> GoogleSql:
    sql.query(f"CREATE TABLE t ({COLUMNS})")
    return sql


def declared(sql: GoogleSql, table: str) -> list[str]:
    where = f"WHERE table_name = '{table}' ORDER BY ordinal_position"
    return [kind for (kind,) in sql.rows(f"SELECT data_type FROM d.INFORMATION_SCHEMA.COLUMNS {where}")]


@pytest.mark.parametrize(
    ("written", "stored"),
    [("2.345", "2.35"), ("-2.345", "-2.35"), ("2.344999999", "2.34"), ("99999999.994", "99999999.99"), ("7", "7")],
)
def test_a_number_is_rounded_half_away_from_zero(t: GoogleSql, written: str, stored: str) -> None:
    t.query(f"INSERT INTO t (cost, n) VALUES ({written}, 1)")
    t.query(f"INSERT INTO t (cost, n) SELECT NUMERIC '{written}', 2")
    t.query(f"INSERT INTO t SELECT NUMERIC '{written}' AS cost, 'a', b'', 1, 3")
    t.query("INSERT INTO t (cost, n) VALUES (1, 4)")
    t.query(f"UPDATE t SET cost = {written} WHERE n = 4")
    source = f"(SELECT NUMERIC '{written}' AS cost, 'b' AS code, b'' AS raw, BIGNUMERIC '1' AS rate, 5 AS n)"
    t.query(f"MERGE t USING {source} s ON FALSE WHEN NOT MATCHED THEN INSERT ROW")
    t.query("INSERT INTO t (cost, n) VALUES (1, 6)")
    t.query(f"MERGE t USING {source} s ON t.n = 6 WHEN MATCHED THEN UPDATE SET cost = s.cost")
    t.query(f"MERGE t USING {source} s ON t.n = 9 WHEN NOT MATCHED THEN INSERT (cost, n) VALUES (s.cost, 7)")
    assert t.rows("SELECT n, cost FROM t ORDER BY n") == [(n, Decimal(stored)) for n in range(1, 8)]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("INSERT INTO t (cost) VALUES (100000000)", LARGE),
        ("INSERT INTO t (cost) SELECT 99999999.995", LARGE),
        ("INSERT INTO t (cost) VALUES (-99999999.995)", LARGE),
        ("UPDATE t SET cost = cost * 1000000000 WHERE TRUE", LARGE),
        (
            "MERGE t USING (SELECT NUMERIC '123456789' AS c) ON FALSE WHEN NOT MATCHED THEN INSERT (cost) VALUES (c)",
            LARGE,
        ),
        ("INSERT INTO t (code) VALUES ('abcd')", LONG),
        ("INSERT INTO t (n, code) SELECT 1, 'äöüß' UNION ALL SELECT 2, 'a'", LONG),
        ("UPDATE t SET code = CONCAT(code, 'x') WHERE TRUE", LONG),
        ("INSERT INTO t (raw) VALUES (b'abc')", r"a value of 3 bytes is too long for the column raw BYTES\(2\)"),
        ("INSERT INTO t (rate) VALUES (1000)", r"the column rate BIGNUMERIC\(6, 3\)"),
    ],
)
def test_what_is_too_long_is_refused_and_nothing_is_written(t: GoogleSql, statement: str, message: str) -> None:
    t.query("INSERT INTO t (cost, code) VALUES (1, 'äöü')")
    before = t.rows("SELECT * FROM t")
    with pytest.raises(StepFailed, match=message):
        t.query(statement)
    assert t.rows("SELECT * FROM t") == before


def test_null_and_default_are_written_as_ever(t: GoogleSql) -> None:
    t.query("INSERT INTO t (n) VALUES (1)")
    t.query("INSERT INTO t (cost, code, n) VALUES (DEFAULT, NULL, 2), (NULL, 'abc', 3)")
    t.query("INSERT INTO t (cost, n) VALUES (9, 4)")
    t.query("UPDATE t SET cost = DEFAULT WHERE n = 4")
    expected = [(1, Decimal("0.13"), None), (2, Decimal("0.13"), None), (3, None, "abc"), (4, Decimal("0.13"), None)]
    assert t.rows("SELECT n, cost, code FROM t ORDER BY n") == expected


def test_a_default_that_is_set_later_keeps_within_the_bounds(t: GoogleSql) -> None:
    t.query("ALTER TABLE t ALTER COLUMN cost SET DEFAULT -1.235")
    t.query("ALTER TABLE t ALTER COLUMN code SET DEFAULT 'abcd'")
    t.query("INSERT INTO t (code, n) VALUES ('a', 1)")
    assert t.rows("SELECT cost FROM t") == [(Decimal("-1.24"),)]
    with pytest.raises(StepFailed, match=LONG):
        t.query("INSERT INTO t (n) VALUES (2)")


def test_rows_with_too_many_columns_are_still_refused(t: GoogleSql) -> None:
    with pytest.raises(StepFailed, match="6 values"):
        t.query("INSERT INTO t SELECT *, 1 FROM t")


def test_expressions_have_no_bounds(t: GoogleSql) -> None:
    t.query("INSERT INTO t (cost, code) VALUES (1, 'abc')")
    assert t.rows("SELECT cost / 3, CONCAT(code, code) FROM t") == [(Decimal("0.333333333"), "abcabc")]
    t.query("CREATE TABLE made AS SELECT cost / 3 AS cost, code FROM t")
    assert declared(t, "made") == ["NUMERIC", "STRING"]


@pytest.mark.parametrize("how", ["LIKE", "CLONE", "COPY"])
def test_a_copy_has_the_bounds_of_its_original(t: GoogleSql, how: str) -> None:
    t.query(f"CREATE TABLE made {how} d.t")
    assert declared(t, "made") == ["NUMERIC(10, 2)", "STRING(3)", "BYTES(2)", "BIGNUMERIC(6, 3)", "INT64"]
    with pytest.raises(StepFailed, match=LONG):
        t.query("INSERT INTO made (code) VALUES ('abcd')")


def test_a_table_that_exists_keeps_its_bounds(t: GoogleSql) -> None:
    t.query("CREATE TABLE IF NOT EXISTS t (cost NUMERIC(5, 1), n STRING(1))")
    t.query("ALTER TABLE t ADD COLUMN IF NOT EXISTS code STRING(1)")
    assert declared(t, "t") == ["NUMERIC(10, 2)", "STRING(3)", "BYTES(2)", "BIGNUMERIC(6, 3)", "INT64"]


def test_bounds_are_altered_only_to_wider_ones(t: GoogleSql) -> None:
    t.query(
        "ALTER TABLE t RENAME COLUMN n TO number, ADD COLUMN more STRING(2),"
        " ALTER COLUMN cost SET DATA TYPE NUMERIC(12, 3), ALTER COLUMN code SET DATA TYPE STRING"
    )
    assert declared(t, "t") == ["NUMERIC(12, 3)", "STRING", "BYTES(2)", "BIGNUMERIC(6, 3)", "INT64", "STRING(2)"]
    t.query("INSERT INTO t (cost, code) VALUES (1.2345, 'abcdef')")
    assert t.rows("SELECT cost, code FROM t") == [(Decimal("1.235"), "abcdef")]
    for narrower in ("cost SET DATA TYPE NUMERIC(10, 2)", "cost SET DATA TYPE NUMERIC(12, 4)"):
        with pytest.raises(StepFailed, match=r"'cost' is NUMERIC\(12, 3\) and cannot become NUMERIC"):
            t.query(f"ALTER TABLE t ALTER COLUMN {narrower}")
    with pytest.raises(StepFailed, match=r"'code' is STRING and cannot become STRING\(9\)"):
        t.query("ALTER TABLE t ALTER COLUMN code SET DATA TYPE STRING(9)")


def test_a_table_without_bounds_gets_them_when_it_is_made_again(t: GoogleSql) -> None:
    """As those are that a statement of an earlier release made, which kept no bounds."""
    t.query("CREATE TABLE old (cost NUMERIC)")
    t.query("INSERT INTO old (cost) VALUES (1.2345)")
    with pytest.raises(StepFailed, match=r"earlier release made the table here .* create a table with these types"):
        t.query("ALTER TABLE old ALTER COLUMN cost SET DATA TYPE NUMERIC(12, 2)")
    t.query("CREATE TABLE fresh (cost NUMERIC(12, 2))")
    t.query("INSERT INTO fresh (cost) SELECT cost FROM old")
    t.query("DROP TABLE old")
    t.query("ALTER TABLE fresh RENAME TO old")
    t.query("INSERT INTO old (cost) VALUES (2.345)")
    assert declared(t, "old") == ["NUMERIC(12, 2)"]
    assert t.rows("SELECT cost FROM old ORDER BY cost") == [(Decimal("1.23"),), (Decimal("2.35"),)]


def test_scripts_keep_within_bounds_in_tables_of_their_own_and_after_a_rollback(t: GoogleSql) -> None:
    body = """
      CREATE TEMP TABLE mine (code STRING(2), cost NUMERIC(3, 1));
      INSERT INTO mine VALUES ('ab', 1.25);
      BEGIN
        INSERT INTO mine VALUES ('abc', 1);
      EXCEPTION WHEN ERROR THEN
        EXECUTE IMMEDIATE "INSERT INTO mine VALUES ('no', 2.25)";
      END;
      BEGIN
        INSERT INTO mine VALUES ('x', 100);
      EXCEPTION WHEN ERROR THEN
        INSERT INTO mine VALUES ('y', -0.05);
      END;
      SELECT code, cost FROM mine ORDER BY code;"""
    assert t.script(body) == [("ab", Decimal("1.3")), ("no", Decimal("2.3")), ("y", Decimal("-0.1"))]


def test_variables_keep_within_bounds(sql: GoogleSql) -> None:
    body = "DECLARE x NUMERIC(10, 2) DEFAULT 123.456;\nDECLARE y STRING(3);\nSET y = 'abc';\n"
    assert sql.script(f"{body}SELECT x, y;") == [(Decimal("123.46"), "abc")]
    with pytest.raises(StepFailed, match="longer than its type"):
        sql.script(f"{body}SET y = 'abcd';")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE TABLE made (a NUMERIC(40, 2))", "at most 29 digits before the point"),
        ("CREATE TABLE made (a STRING(0))", "one length"),
        ("CREATE TABLE made (a ARRAY<STRING(2)>)", r"STRING\(2\) inside of ARRAY or STRUCT"),
        ("CREATE TABLE made (a STRUCT<b NUMERIC(5, 2)>)", r"NUMERIC\(5, 2\) inside of ARRAY or STRUCT"),
        ("SELECT CAST(['abc'] AS ARRAY<STRING(2)>)", r"STRING\(2\) inside of ARRAY or STRUCT"),
        ("CREATE TABLE made (a NUMERIC(5, 2)) AS SELECT 1.239 AS a", "create the table, then INSERT"),
        ("CREATE TABLE made (a NUMERIC(5, 2) OPTIONS (rounding_mode = 'ROUND_HALF_EVEN'))", "cannot be kept here"),
        ("CREATE TABLE made (a NUMERIC) OPTIONS (default_rounding_mode = 'ROUND_HALF_EVEN')", "cannot be kept here"),
    ],
)
def test_what_cannot_be_checked_is_refused_by_name(sql: GoogleSql, statement: str, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        sql.query(statement)
