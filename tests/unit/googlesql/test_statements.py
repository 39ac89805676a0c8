"""DML and DDL as BigQuery writes them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlglot import exp
from tests.unit.googlesql.conftest import GoogleSql

from convergence.adapters.googlesql.parse import parse_statement
from convergence.errors import Denied, StepFailed
from convergence.ports.warehouse import Parameter, Scope

TWO_ROWS = "INSERT INTO t (id, cost) VALUES (1, 1.5), (2, 2)"


@pytest.fixture
def t(sql: GoogleSql) -> GoogleSql:
    sql.query("CREATE TABLE t (id INT64 NOT NULL, name STRING DEFAULT 'n', cost NUMERIC(10, 2))")
    sql.query(TWO_ROWS)
    return sql


def columns(sql: GoogleSql, table: str) -> list[tuple[str, ...]]:
    where = f"WHERE table_name = '{table}' ORDER BY ordinal_position"
    return sql.rows(f"SELECT column_name, data_type FROM d.INFORMATION_SCHEMA.COLUMNS {where}")


def test_a_table_may_have_partitions_clusters_and_options(sql: GoogleSql) -> None:
    sql.query(
        "CREATE TABLE `p.d.t` (id INT64 OPTIONS (description = 'x'), at TIMESTAMP, tags ARRAY<STRING>,"
        " PRIMARY KEY (id) NOT ENFORCED) PARTITION BY DATE(at) CLUSTER BY id OPTIONS (description = 'y')"
    )
    assert columns(sql, "t") == [("id", "INT64"), ("at", "TIMESTAMP"), ("tags", "ARRAY<STRING>")]


def test_a_table_made_by_a_query_has_googlesql_types(t: GoogleSql) -> None:
    t.query("CREATE TABLE made CLUSTER BY a AS SELECT 1 AS a, 1.5 AS b, SUM(id) AS c, AVG(cost) AS d, 'x' AS e FROM t")
    kinds = [kind for _, kind in columns(t, "made")]
    assert kinds == ["INT64", "FLOAT64", "INT64", "NUMERIC", "STRING"]
    t.query("INSERT INTO made VALUES (3000000000, 2, 3, 4, 'y')")


@pytest.mark.parametrize("how", ["LIKE", "CLONE", "COPY"])
def test_tables_are_made_from_others(t: GoogleSql, how: str) -> None:
    t.query(f"CREATE TABLE made {how} d.t")
    assert columns(t, "made") == columns(t, "t")
    assert t.rows("SELECT COUNT(*) FROM made") == [(0 if how == "LIKE" else 2,)]


def test_insert_fills_defaults_and_may_leave_out_into(t: GoogleSql) -> None:
    assert t.query("INSERT d.t (id) WITH more AS (SELECT 3 AS id) SELECT id FROM more").rows_affected == 1
    assert t.rows("SELECT id, name, cost FROM t WHERE id = 3") == [(3, "n", None)]


def test_update_and_delete_take_aliases_and_other_tables(t: GoogleSql) -> None:
    assert (
        t.query("UPDATE t AS x SET x.cost = x.cost / 3, name = CONCAT('r', x.name) WHERE x.id = 2").rows_affected == 1
    )
    source = "(SELECT 1 AS id, NUMERIC '9' AS cost)"
    t.query(f"UPDATE t SET cost = s.cost FROM {source} AS s WHERE t.id = s.id")
    assert t.rows("SELECT id, name, cost FROM t ORDER BY id") == [
        (1, "n", Decimal(9)),
        (2, "rn", Decimal("0.67")),
    ]
    assert t.query("DELETE t x WHERE x.id = 2").rows_affected == 1


@pytest.mark.parametrize("sql_text", ["DELETE FROM t", "UPDATE t SET id = 1"])
def test_a_change_of_all_rows_has_to_say_so(t: GoogleSql, sql_text: str) -> None:
    with pytest.raises(StepFailed, match="needs a WHERE clause; write WHERE TRUE"):
        t.query(sql_text)


def test_merge_has_all_its_clauses(t: GoogleSql) -> None:
    t.query("INSERT INTO t (id, cost) VALUES (3, 3), (4, 4)")
    result = t.query(
        "MERGE d.t AS t USING (SELECT 2 AS id, NUMERIC '7' AS cost UNION ALL SELECT 3, 300 UNION ALL SELECT 9, 9) AS s"
        " ON t.id = s.id"
        " WHEN MATCHED AND s.cost > 100 THEN DELETE"
        " WHEN MATCHED THEN UPDATE SET t.cost = s.cost / 2, name = 'm'"
        " WHEN NOT MATCHED BY TARGET THEN INSERT (id, cost) VALUES (s.id, s.cost)"
        " WHEN NOT MATCHED BY SOURCE AND t.id = 1 THEN DELETE"
        " WHEN NOT MATCHED BY SOURCE THEN UPDATE SET name = 'alone'"
    )
    assert result.rows_affected == 5
    found = t.rows("SELECT id, name, cost FROM t ORDER BY id")
    assert found == [(2, "m", Decimal("3.5")), (4, "alone", Decimal(4)), (9, "n", Decimal(9))]


def test_merge_inserts_whole_rows(t: GoogleSql) -> None:
    t.query("CREATE TABLE other CLONE t")
    t.query("MERGE t USING other AS s ON FALSE WHEN NOT MATCHED THEN INSERT ROW WHEN NOT MATCHED BY SOURCE THEN DELETE")
    assert t.rows("SELECT COUNT(*) FROM t") == [(2,)]


def test_alter_changes_several_columns_at_once(t: GoogleSql) -> None:
    t.query("ALTER TABLE t ADD COLUMN IF NOT EXISTS note STRING, ADD COLUMN more NUMERIC")
    t.query("ALTER TABLE t RENAME COLUMN note TO remark")
    t.query("ALTER TABLE t DROP COLUMN IF EXISTS name")
    t.query("ALTER TABLE t ALTER COLUMN more SET DATA TYPE BIGNUMERIC")
    t.query("ALTER TABLE t SET OPTIONS (description = 'x')")
    t.query("ALTER TABLE t RENAME TO renamed")
    assert columns(t, "renamed") == [
        ("id", "INT64"),
        ("cost", "NUMERIC(10, 2)"),
        ("remark", "STRING"),
        ("more", "BIGNUMERIC"),
    ]


def test_a_rename_of_a_column_that_may_be_missing(t: GoogleSql) -> None:
    for _ in range(2):  # the second time none of them is there
        t.query(
            "ALTER TABLE t RENAME COLUMN IF EXISTS name TO label, RENAME COLUMN IF EXISTS label TO title,"
            " RENAME COLUMN IF EXISTS nowhere TO here, ADD COLUMN IF NOT EXISTS note STRING"
        )
        assert [name for name, _ in columns(t, "t")] == ["id", "title", "cost", "note"]
    with pytest.raises(StepFailed, match="name"):
        t.query("ALTER TABLE t RENAME COLUMN name TO label")


@pytest.mark.parametrize("name", ["other.renamed", "`other.renamed`", "`local-dev-project.other.renamed`"])
def test_a_table_is_not_renamed_into_another_dataset(t: GoogleSql, name: str) -> None:
    with pytest.raises(StepFailed, match="RENAME TO 'renamed': write the new name without a dataset"):
        t.query(f"ALTER TABLE t RENAME TO {name}")
    assert t.rows("SELECT COUNT(*) FROM t") == [(2,)]


def test_truncate_drop_and_views(t: GoogleSql) -> None:
    t.query("CREATE VIEW thirds AS SELECT cost / 3 AS third FROM t WHERE id = 1")
    assert t.rows("SELECT third FROM thirds") == [(Decimal("0.5"),)]
    t.query("DROP VIEW thirds")
    t.query("TRUNCATE TABLE t")
    assert t.rows("SELECT COUNT(*) FROM t") == [(0,)]
    t.query("DROP TABLE IF EXISTS nowhere")
    with pytest.raises(StepFailed, match=r"no table d\.nowhere"):
        t.query("DROP TABLE nowhere")


@pytest.mark.parametrize(
    "sql_text",
    [
        "DROP TABLE t",
        "TRUNCATE TABLE t",
        "ALTER TABLE t ADD COLUMN x INT64",
        "DELETE t WHERE TRUE",
        "MERGE t USING t AS s ON FALSE WHEN NOT MATCHED BY SOURCE THEN DELETE",
        "CREATE VIEW v AS SELECT 1 AS a",
    ],
)
def test_nothing_changes_in_a_scope_that_only_reads(t: GoogleSql, sql_text: str) -> None:
    with pytest.raises(Denied, match="cannot be written"):
        t.query(sql_text, scope=Scope(dataset="d"))
    with pytest.raises(Denied, match=r"outside of what|cannot be written"):
        t.query(
            sql_text.replace(" t", " d.t").replace(" v ", " d.v "),
            scope=Scope(dataset="e", readable=("d",), writable=True),
        )


@pytest.mark.parametrize(
    ("sql_text", "message"),
    [
        ("CREATE FUNCTION f(x INT64) AS (x + 1)", "CREATE FUNCTION cannot run here"),
        ("CREATE SCHEMA other", "CREATE SCHEMA cannot run here"),
        ("GRANT SELECT ON d.t TO 'x'", "GRANT cannot run here"),
        ("SELECT * FROM t FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()", "FOR SYSTEM_TIME AS OF cannot run here"),
        ("SELECT CAST(DATE '2026-01-01' AS STRING FORMAT 'YYYY')", "CAST … FORMAT cannot run here"),
        ("SELECT FARM_FINGERPRINT('x')", "FARM_FINGERPRINT cannot run here"),
        ("SELECT FORMAT(name) FROM t", "FORMAT needs a literal pattern"),
        ("SELECT 1; SELECT 2", "One statement is expected, but 2 were given"),
        ("SELECT * FROM d.INFORMATION_SCHEMA.TABELS", "Did you mean 'TABLES'"),
        ("SELECT * FROM `d.nothing_*`", "No table of d begins with 'nothing_'"),
        ("SELECT\n  1 +", "line 2, column 5: syntax error"),
        ("SELECT\n  '2026-01-01'::date", r"line 2, column \d+: GoogleSQL does not have ::; write CAST\(x AS type\)"),
        ("SELECT 'a' ILIKE 'A'", "GoogleSQL does not have ILIKE; write LOWER"),
        ("SELECT nme FROM t", r"There is no column 'nme'\. Did you mean 'name'"),
    ],
)
def test_what_cannot_run_is_refused_by_name(t: GoogleSql, sql_text: str, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        t.query(sql_text)


def test_a_column_is_set_to_its_default(sql: GoogleSql) -> None:
    sql.query("CREATE TABLE d1 (id INT64, n NUMERIC DEFAULT 5)")
    sql.query("INSERT INTO d1 VALUES (1, 7), (2, 8)")
    sql.query("UPDATE d1 SET n = DEFAULT WHERE id = 1")
    sql.query("MERGE d1 AS t USING (SELECT 2 AS id) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET t.n = DEFAULT")
    assert sql.rows("SELECT DISTINCT n FROM d1") == [(5,)]


def test_a_merge_that_finds_two_rows_for_one_is_refused(sql: GoogleSql) -> None:
    sql.query("CREATE TABLE d1 AS SELECT 1 AS id, 'a' AS v")
    twice = "SELECT 1 AS id, 'x' AS v UNION ALL SELECT 1, 'y'"
    with pytest.raises(StepFailed, match="cannot affect the same target row more than once"):
        sql.query(f"MERGE d1 USING ({twice}) AS s ON d1.id = s.id WHEN MATCHED THEN UPDATE SET v = s.v")
    assert sql.rows("SELECT v FROM d1") == [("a",)]


@pytest.fixture
def nested(sql: GoogleSql) -> GoogleSql:
    sql.query("CREATE TABLE n1 (id INT64, s STRUCT<a INT64, b STRING, c STRUCT<d NUMERIC>>, b NUMERIC)")
    sql.query("INSERT INTO n1 VALUES (1, (1, 'x', STRUCT(1.5)), 5), (2, NULL, 6)")
    return sql


def test_a_field_of_a_struct_is_set_and_the_others_stay(nested: GoogleSql) -> None:
    nested.query("UPDATE n1 SET s.b = CONCAT(s.b, '!'), b = 7 WHERE id = 1")
    assert nested.rows("SELECT s, b FROM n1 WHERE id = 1") == [({"a": 1, "b": "x!", "c": {"d": Decimal("1.5")}}, 7)]
    nested.query("UPDATE n1 AS x SET x.s.a = 9, s.c.d = x.s.c.d / 2 WHERE x.id = 1")
    assert nested.rows("SELECT s FROM n1 WHERE id = 1") == [({"a": 9, "b": "x!", "c": {"d": Decimal("0.75")}},)]
    source = "(SELECT 1 AS id, 4 AS a) AS u ON t.id = u.id"
    nested.query(f"MERGE n1 AS t USING {source} WHEN MATCHED THEN UPDATE SET s.a = u.a")
    assert nested.rows("SELECT s.a FROM n1 WHERE id = 1") == [(4,)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("s.a = 1", "s is NULL: it has no field to set"),
        ("s.z = 1", "'s' has no field 'z'"),
        ("b.z = 1", "'b' is NUMERIC and has no fields"),
        ("s.a = 1, s.a = 2", "The field 'a' is assigned twice"),
    ],
)
def test_a_field_that_cannot_be_set_is_refused(nested: GoogleSql, change: str, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        nested.query(f"UPDATE n1 SET {change} WHERE id = 2")


def test_types_of_a_stored_struct_go_through_ctes(nested: GoogleSql) -> None:
    sums = "SUM(u.s.c.d) / 4, AVG(u.s.a), SUM(s.a)"
    assert nested.rows(f"WITH u AS (SELECT * FROM n1) SELECT {sums} FROM u") == [(Decimal("0.375"), 1.0, 1)]
    assert nested.rows("SELECT AVG(x.c.d) FROM (SELECT s AS x FROM (SELECT * FROM n1))") == [(Decimal("1.5"),)]


@pytest.mark.parametrize(
    ("sql_text", "message"),
    [
        ("SELECT * FROM (PIVOT t ON name USING SUM(cost))", "PIVOT must follow a table"),
        ("SELECT * FROM (UNPIVOT t ON cost INTO NAME x VALUE y)", "PIVOT must follow a table"),
        (
            "WITH a AS (SELECT 1 AS x) CREATE TABLE made AS SELECT * FROM a",
            "WITH cannot come before CREATE TABLE: put it before the SELECT inside",
        ),
        ("SELECT MEDIAN(cost) FROM t", "No function is called MEDIAN"),
        ("SELECT LAX_INT64(JSON '1')", "LAX_INT64 cannot run here"),
        ("SELECT LIST_SUM([1])", "No function is called LIST_SUM"),
        ("SELECT COSINE_DISTANCE([(1, 1.0)], [(1, 2.0)])", "A distance of vectors that are pairs cannot run here"),
    ],
)
def test_what_other_databases_know_is_refused(t: GoogleSql, sql_text: str, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        t.query(sql_text)


@pytest.mark.parametrize(
    ("sql_text", "message"),
    [
        ("SELECT DISTINCT * FROM j", "DISTINCT of JSON is not possible"),
        ("SELECT DISTINCT * EXCEPT (i) FROM j", "DISTINCT of JSON is not possible"),
        ("SELECT DISTINCT * FROM (SELECT * FROM j)", "DISTINCT of JSON is not possible"),
        ("SELECT DISTINCT x.* FROM j AS x JOIN j AS y ON x.i = y.i", "DISTINCT of JSON is not possible"),
        ("WITH c AS (SELECT STRUCT(d AS d) AS s FROM j) SELECT DISTINCT * FROM c", "DISTINCT of JSON is not possible"),
        ("SELECT COUNT(*) FROM (SELECT DISTINCT * FROM j)", "DISTINCT of JSON is not possible"),
        ("SELECT * FROM j UNION DISTINCT SELECT * FROM j", "UNION DISTINCT of JSON is not possible"),
        ("CREATE TABLE j2 AS SELECT DISTINCT * FROM j", "DISTINCT of JSON is not possible"),
    ],
)
def test_a_star_hides_no_json_from_distinct(sql: GoogleSql, sql_text: str, message: str) -> None:
    sql.query("CREATE TABLE j (i INT64, d JSON)")
    with pytest.raises(StepFailed, match=message):
        sql.query(sql_text)
    assert sql.rows("SELECT DISTINCT * EXCEPT (d) FROM j") == []


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("UNION ALL BY NAME SELECT 3 AS b, 4 AS c", "not all queries have a column a, c"),
        ("UNION ALL BY NAME SELECT * FROM (SELECT 3 AS b)", "not all queries have a column a"),
        ("INTERSECT DISTINCT BY NAME SELECT 3 AS b, 4 AS a", "BY NAME with INTERSECT cannot run here"),
        ("EXCEPT DISTINCT BY NAME SELECT 3 AS b, 4 AS a", "BY NAME with EXCEPT cannot run here"),
        ("LEFT UNION ALL BY NAME SELECT 3 AS b, 4 AS a", "BY NAME with modes and lists of columns cannot run here"),
        ("UNION ALL BY NAME ON (a) SELECT 3 AS b, 4 AS a", "BY NAME with modes and lists of columns cannot run here"),
    ],
)
def test_by_name_that_duckdb_has_not_is_refused(sql: GoogleSql, operation: str, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        sql.query(f"SELECT 1 AS a, 2 AS b {operation}")


def test_a_union_by_name_takes_its_columns_in_any_order(sql: GoogleSql) -> None:
    assert sql.rows("SELECT 1 AS a, 2 AS b UNION ALL BY NAME SELECT 3 AS B, 4 AS a") == [(1, 2), (4, 3)]


def test_no_name_of_a_user_meets_one_of_ours(sql: GoogleSql) -> None:
    sql.query("CREATE TABLE n2 (e STRING, x NUMERIC, w STRING, s STRING, n INT64, d DATE, i INT64, q NUMERIC)")
    sql.query("INSERT INTO n2 VALUES ('[1.50]', 1, 'ab cd', 's', 3, DATE '2026-01-31', 2, 7)")
    figures = "x.q / 4, INITCAP(x.w), JSON_VALUE_ARRAY(x.e), ROUND(x.q, x.n), INSTR(x.w, 'c', x.i), x.d - x.d"
    expected = [(Decimal("1.75"), "Ab Cd", ["1.50"], Decimal(7), 4, "0-0 0 0:0:0")]
    for alias in ("x", "e", "w", "s", "n", "d", "i", "q"):
        assert sql.rows(f"SELECT {figures.replace('x.', alias + '.')} FROM n2 AS {alias}") == expected
        assert sql.rows(f"SELECT {figures.replace('x.', '')} FROM n2 AS {alias}") == expected


def test_a_stored_array_is_neither_null_nor_holds_null(sql: GoogleSql) -> None:
    sql.query("CREATE TABLE a1 AS SELECT 1 AS id, [1] AS list UNION ALL SELECT 2, CAST(NULL AS ARRAY<INT64>)")
    sql.query("INSERT INTO a1 SELECT 3, CAST(NULL AS ARRAY<INT64>)")
    sql.query("INSERT INTO a1 VALUES (4, CAST(NULL AS ARRAY<INT64>)), (5, [5])")
    found = sql.rows("SELECT list IS NULL, ARRAY_LENGTH(list) FROM a1 ORDER BY id")
    assert found == [(False, 1), (False, 0), (False, 0), (False, 0), (False, 1)]
    with pytest.raises(StepFailed, match="an array with NULL cannot be stored"):
        sql.query("INSERT INTO a1 SELECT 6, [1, NULL]")


def test_an_array_of_the_row_is_joined_without_unnest(sql: GoogleSql) -> None:
    source = "UNNEST([STRUCT('a' AS name, [1, 2] AS items), ('b', [])]) AS r"
    assert sql.rows(f"SELECT r.name, x FROM {source} LEFT JOIN r.items AS x ORDER BY 1, 2") == [
        ("a", 1), ("a", 2), ("b", None),
    ]  # fmt: skip
    assert sql.rows(f"SELECT r.name, x FROM {source} INNER JOIN r.items AS x ORDER BY 1, 2") == [("a", 1), ("a", 2)]


@pytest.mark.parametrize(
    ("sql_text", "message"),
    [
        ("SELECT AVG(cost HAVING MAX id) FROM t", "HAVING MAX and HAVING MIN are supported in ANY_VALUE only"),
        ("SELECT PERCENTILE_CONT(cost, 0.5 RESPECT NULLS) OVER () FROM t", "RESPECT NULLS in a quantile"),
        ("SELECT INTERVAL '1-2' YEAR TO MONTH", "An INTERVAL of several units cannot run here"),
        ("SELECT CAST('[2020-01-01, UNBOUNDED)' AS RANGE<DATE>)", "The type RANGE cannot be used here"),
        ("SELECT CAST('15:30' AS TIME FORMAT 'HH24:MI')", "CAST … FORMAT cannot run here"),
        ("SELECT SAFE_CAST('15:30' AS TIME FORMAT 'HH24:MI')", "CAST … FORMAT cannot run here"),
        ("SELECT JSON_VALUE('{\"a\": 1', '$.a')", "is not valid JSON"),
        ("SELECT BIT_COUNT(b'a')", "BIT_COUNT of BYTES cannot run here"),
        ("SELECT JSON_OBJECT(['a'], [1])", "JSON_OBJECT takes pairs"),
        ("SELECT ARRAY(SELECT AS STRUCT * FROM t)", r"SELECT AS STRUCT \* cannot run here as a value"),
    ],
)
def test_what_gives_another_value_in_duckdb_is_refused(t: GoogleSql, sql_text: str, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        t.query(sql_text)


@pytest.mark.parametrize(
    ("clauses", "actions"),
    [
        ("RENAME COLUMN a TO b, RENAME COLUMN c TO d", 2),
        ("ADD COLUMN a ARRAY<STRUCT<x INT64, y STRING>> OPTIONS (description = 'a, b'), DROP COLUMN b", 2),
        ("ALTER COLUMN a SET OPTIONS (description = 'x'), ALTER COLUMN b SET DATA TYPE NUMERIC", 2),
        ("ALTER COLUMN a SET OPTIONS (description = 'x')", 1),
        ("ALTER COLUMN a DROP NOT NULL", 1),
    ],
)
def test_an_alter_is_read_with_all_its_clauses_and_its_table(clauses: str, actions: int) -> None:
    tree = parse_statement(f"ALTER TABLE `p.d.t` {clauses};")
    assert len(tree.args["actions"]) == actions
    assert next(table.sql(dialect="bigquery") for table in tree.find_all(exp.Table)) == "`p.d.t`"


@pytest.mark.parametrize("clauses", ["RENAME COLUMN a TO b, EXPLODE", "ADD COLUMN a STRING, CLUSTER BY a", ""])
def test_a_clause_that_cannot_be_read_refuses_the_statement(t: GoogleSql, clauses: str) -> None:
    with pytest.raises(StepFailed):
        t.query(f"ALTER TABLE t {clauses}")


def test_an_assigned_float64_is_not_a_comparison(sql: GoogleSql) -> None:
    sql.query("CREATE TABLE f AS SELECT 1.5 AS a, CAST('nan' AS FLOAT64) AS b")
    sql.query("UPDATE f SET a = a + b, b = a WHERE TRUE")
    sql.query("MERGE f USING (SELECT 1) ON TRUE WHEN MATCHED THEN UPDATE SET a = b")
    assert sql.rows("SELECT a, b FROM f") == [(1.5, 1.5)]


def test_an_offset_from_a_parameter_is_not_negative(sql: GoogleSql) -> None:
    text = "SELECT LAG(x, @n) OVER (ORDER BY x) AS y FROM UNNEST([1, 2]) AS x ORDER BY x"
    assert [row["y"] for row in sql.query(text, {"n": Parameter("INT64", 1)}).rows] == [None, 1]
    for wrong in (-1, None):
        with pytest.raises(StepFailed, match="an offset in a window"):
            sql.query(text, {"n": Parameter("INT64", wrong)})


@pytest.mark.parametrize(
    ("left", "right", "product"),
    [
        ("123456789.5", "1234.25", "152376542440.375"),
        ("-99999999999.000000000000000001", "2", "-199999999998.000000000000000002"),
        ("0.000000001", "0.0000000005", "0.000000000000000001"),  # half away from zero at the last of 18 places
        ("-0.000000001", "0.0000000005", "-0.000000000000000001"),
    ],
)
def test_a_product_of_bignumerics_has_room_for_all_of_its_digits(
    sql: GoogleSql, left: str, right: str, product: str
) -> None:
    sql.query("CREATE TABLE factors (a BIGNUMERIC, b BIGNUMERIC)")
    sql.query(f"INSERT INTO factors VALUES (BIGNUMERIC '{left}', BIGNUMERIC '{right}')")
    assert sql.rows("SELECT a * b FROM factors") == [(Decimal(product),)]
