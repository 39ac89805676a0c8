"""The procedural language, construct by construct."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.googlesql.conftest import SCOPE, GoogleSql

from convergence.errors import ConfigError, ConfigErrors, InvalidInput, NotFound, StepFailed
from convergence.ports.warehouse import Parameter, ProcedureCall


def test_declare_gives_defaults_and_null(sql: GoogleSql) -> None:
    body = """
      DECLARE a, b INT64 DEFAULT 2;
      DECLARE c STRING;
      DECLARE d DEFAULT DATE '2026-01-31';
      DECLARE e ARRAY<STRING> DEFAULT ['x', 'y'];
      DECLARE f NUMERIC DEFAULT NUMERIC '1.000000001';
      SELECT a, b, c, d, e, f;"""
    assert sql.script(body) == [(2, 2, None, date(2026, 1, 31), ["x", "y"], Decimal("1.000000001"))]


@pytest.mark.parametrize(
    "body",
    [
        "SELECT 1; DECLARE a INT64;",
        "IF TRUE THEN DECLARE a INT64; END IF;",
        "LOOP DECLARE a INT64; BREAK; END LOOP;",
        "BEGIN SELECT 1 / 0; EXCEPTION WHEN ERROR THEN DECLARE a INT64; END;",
    ],
)
def test_declare_comes_first_in_its_block_as_in_bigquery(sql: GoogleSql, body: str) -> None:
    with pytest.raises(ConfigError, match=r"variables are declared at the start of a script or of BEGIN … END"):
        sql.script(body)
    assert sql.script("SELECT 1; BEGIN DECLARE a INT64 DEFAULT 4; SELECT a; END;") == [(4,)]


def test_set_takes_one_value_a_tuple_or_a_row(sql: GoogleSql) -> None:
    body = """
      DECLARE a, b, c INT64;
      SET a = 1;
      SET (b, c) = (a + 1, a + 2);
      SET (a, b) = (SELECT AS STRUCT b * 10, c * 10);
      SELECT a, b, c;"""
    assert sql.script(body) == [(20, 30, 3)]


@pytest.mark.parametrize(("value", "expected"), [("1", "one"), ("2", "two"), ("3", "many"), ("NULL", "many")])
def test_if_takes_the_first_branch_that_is_true(sql: GoogleSql, value: str, expected: str) -> None:
    body = f"""
      DECLARE n INT64 DEFAULT {value};
      IF n = 1 THEN SELECT 'one';
      ELSEIF n = 2 THEN SELECT 'two';
      ELSE SELECT 'many';
      END IF;"""
    assert sql.script(body) == [(expected,)]


def test_case_compares_a_subject_or_asks_conditions(sql: GoogleSql) -> None:
    body = """
      DECLARE n INT64 DEFAULT 2;
      DECLARE found STRING DEFAULT '';
      CASE n WHEN 1 THEN SET found = 'one'; WHEN 2 THEN SET found = 'two'; END CASE;
      CASE WHEN n > 5 THEN SET found = 'big'; ELSE SET found = CONCAT(found, ' small'); END CASE;
      SELECT found;"""
    assert sql.script(body) == [("two small",)]


def test_loops_leave_and_iterate_by_label(sql: GoogleSql) -> None:
    body = """
      DECLARE i, total INT64 DEFAULT 0;
      outer_loop: LOOP
        SET i = i + 1;
        WHILE TRUE DO
          IF MOD(i, 2) = 0 THEN ITERATE outer_loop; END IF;
          IF i > 7 THEN LEAVE outer_loop; END IF;
          BREAK;
        END WHILE;
        SET total = total + i;
      END LOOP outer_loop;
      REPEAT SET i = i - 1; UNTIL i <= 5 END REPEAT;
      SELECT total, i;"""
    assert sql.script(body) == [(16, 5)]


def test_for_goes_over_the_rows_of_a_query(sql: GoogleSql) -> None:
    body = """
      DECLARE text STRING DEFAULT '';
      FOR row IN (
        SELECT name, amount FROM UNNEST([STRUCT('a' AS name, 1 AS amount), ('b', 2), ('c', 3)]) ORDER BY name
      ) DO
        IF row.name = 'b' THEN CONTINUE; END IF;
        SET text = CONCAT(text, row.name, CAST(row.amount AS STRING));
      END FOR;
      SELECT text;"""
    assert sql.script(body) == [("a1c3",)]


def test_return_ends_the_procedure(sql: GoogleSql) -> None:
    assert sql.script("SELECT 1; IF TRUE THEN RETURN; END IF; SELECT 2;") == [(1,)]


def test_a_column_wins_over_a_variable_of_its_name(sql: GoogleSql) -> None:
    sql.query("CREATE TABLE t AS SELECT 1 AS a, 2 AS b")
    body = """
      DECLARE a INT64 DEFAULT 100;
      DECLARE z INT64 DEFAULT 7;
      SELECT a, z, (SELECT SUM(b + z) FROM t WHERE a = 1), z AS z2 FROM t WHERE t.b < z ORDER BY z2;"""
    assert sql.script(body) == [(1, 7, 9, 7)]


def test_variables_reach_dml(sql: GoogleSql) -> None:
    sql.query("CREATE TABLE t (id INT64, note STRING, cost NUMERIC)")
    body = """
      DECLARE v_id INT64 DEFAULT 1;
      DECLARE v_cost NUMERIC DEFAULT 2.5;
      INSERT INTO t (id, note, cost) VALUES (v_id, 'x', v_cost), (v_id + 1, 'y', v_cost * 2);
      ASSERT @@row_count = 2 AS 'two rows';
      UPDATE t SET note = CONCAT(note, '!') WHERE id = v_id;
      DELETE FROM t WHERE id > v_id;
      SELECT @@row_count, id, note, cost FROM t;"""
    assert sql.script(body) == [(1, 1, "x!", Decimal("2.5"))]


def test_dynamic_sql_takes_names_and_positions_and_gives_values(sql: GoogleSql) -> None:
    sql.query("CREATE TABLE t AS SELECT * FROM UNNEST([1, 2, 3]) AS n")
    body = '''
      DECLARE total, lines INT64;
      DECLARE lo INT64 DEFAULT 2;
      EXECUTE IMMEDIATE FORMAT("""SELECT SUM(n), COUNT(*) FROM `%s.d`.t WHERE n >= @lo AND n < ? -- 100%%
      """, 'p') INTO total, lines USING lo AS lo, lo + 2;
      EXECUTE IMMEDIATE 'INSERT INTO t (n) SELECT n + 10 FROM t WHERE n = @n' USING 1 AS n;
      SELECT total, lines, @@row_count, (SELECT MAX(n) FROM t);'''
    assert sql.script(body) == [(5, 2, 1, 11)]


def test_into_takes_nulls_from_no_row_and_refuses_two(sql: GoogleSql) -> None:
    body = """
      DECLARE a INT64 DEFAULT 5;
      EXECUTE IMMEDIATE 'SELECT 1 FROM UNNEST([1]) AS x WHERE x > 1' INTO a;
      SELECT a;"""
    assert sql.script(body) == [(None,)]
    with pytest.raises(StepFailed, match="more than one row"):
        sql.script("DECLARE a INT64; EXECUTE IMMEDIATE 'SELECT x FROM UNNEST([1, 2]) AS x' INTO a;")


def test_an_error_goes_to_the_innermost_handler_with_message_and_statement(sql: GoogleSql) -> None:
    body = """
      DECLARE seen ARRAY<STRING> DEFAULT [];
      BEGIN
        BEGIN
          RAISE USING MESSAGE = 'first';
        EXCEPTION WHEN ERROR THEN
          SET seen = ARRAY_CONCAT(seen, [@@error.message, @@error.statement_text]);
          SELECT 1 / 0;
        END;
      EXCEPTION WHEN ERROR THEN
        SET seen = ARRAY_CONCAT(seen, [@@error.message, @@error.statement_text]);
      END;
      SELECT seen;"""
    [(seen,)] = sql.script(body)
    assert seen[:2] == ["first", "RAISE USING MESSAGE = 'first'"]
    assert "division by zero" in seen[2]
    assert seen[3] == "SELECT 1 / 0"


def test_raise_alone_passes_the_error_on_with_its_place(sql: GoogleSql) -> None:
    body = """BEGIN
        ASSERT FALSE AS 'no prices';
      EXCEPTION WHEN ERROR THEN
        RAISE;
      END;"""
    with pytest.raises(StepFailed, match=r"sp_test\.sql:4:9: no prices"):
        sql.script(body)


@pytest.mark.parametrize(
    ("handler", "seen", "kept"),
    [
        ("INSERT INTO t VALUES (3); COMMIT TRANSACTION;", [2, 3], [2, 3]),
        ("SELECT 1;", [2], [1]),  # never committed: gone when the script ends
        ("ROLLBACK TRANSACTION; INSERT INTO t VALUES (3);", [1, 3], [1, 3]),
    ],
)
def test_a_transaction_stays_open_in_the_handler_of_an_error(
    sql: GoogleSql, handler: str, seen: list[int], kept: list[int]
) -> None:
    sql.query("CREATE TABLE t (id INT64)")
    body = f"""
      INSERT INTO t VALUES (1);
      BEGIN
        BEGIN TRANSACTION;
        DELETE FROM t WHERE TRUE;
        INSERT INTO t VALUES (2);
        SELECT ERROR('stop');
        COMMIT TRANSACTION;
      EXCEPTION WHEN ERROR THEN
        {handler}
      END;
      SELECT ARRAY_AGG(id ORDER BY id) FROM t;"""
    assert sql.script(body) == [(seen,)]
    assert sql.rows("SELECT id FROM t ORDER BY id") == [(each,) for each in kept]


def test_a_handler_without_a_transaction_cannot_roll_back(sql: GoogleSql) -> None:
    with pytest.raises(StepFailed, match=r"sp_test\.sql:7:1: ROLLBACK TRANSACTION without a transaction"):
        sql.script("BEGIN\nBEGIN TRANSACTION; COMMIT TRANSACTION;\nSELECT ERROR('x');\nEXCEPTION WHEN ERROR THEN"
                   "\nROLLBACK TRANSACTION;\nEND;")  # fmt: skip


def test_what_ran_outside_of_a_transaction_stays_when_a_later_statement_fails(sql: GoogleSql) -> None:
    sql.query("CREATE TABLE t (id INT64)")
    body = """
      BEGIN
        INSERT INTO t VALUES (1);
        INSERT INTO t VALUES (CAST('x' AS INT64));
      EXCEPTION WHEN ERROR THEN
        INSERT INTO t VALUES (2);
      END;
      SELECT COUNT(*) FROM t;"""
    assert sql.script(body) == [(2,)]


def test_rollback_and_an_open_transaction_at_the_end_undo(sql: GoogleSql) -> None:
    sql.query("CREATE TABLE t (id INT64)")
    body = """
      BEGIN TRANSACTION;
      INSERT INTO t VALUES (1);
      ROLLBACK TRANSACTION;
      INSERT INTO t VALUES (2);
      BEGIN TRANSACTION;
      INSERT INTO t VALUES (3);"""
    sql.script(body)
    assert sql.rows("SELECT id FROM t") == [(2,)]


def test_a_failed_call_writes_nothing(sql: GoogleSql) -> None:
    sql.query("CREATE TABLE t (id INT64)")
    with pytest.raises(StepFailed, match=r"sp_test\.sql:4:1: positive"):
        sql.script("INSERT INTO t VALUES (1);\nASSERT (SELECT MIN(id) FROM t) > 1 AS 'positive';".replace("\nA", "\nA"))
    assert sql.rows("SELECT COUNT(*) FROM t") == [(0,)]


def test_temp_tables_live_as_long_as_the_call(sql: GoogleSql) -> None:
    body = """
      CREATE TEMP TABLE picked AS SELECT n FROM UNNEST([1, 2, 3]) AS n;
      INSERT INTO picked (n) SELECT n * 10 FROM picked;
      SELECT SUM(n) FROM picked;"""
    assert sql.script(body) == [(66,)]
    assert sql.call().rows == [{"f0_": 66}]
    with pytest.raises(StepFailed, match=r"no table d\.picked"):
        sql.query("SELECT * FROM picked")


def test_call_passes_in_out_and_inout(sql: GoogleSql) -> None:
    sql.define("SET total = total + price * 2; SET label = CONCAT('<', CAST(price AS STRING), '>');",
               "price NUMERIC, INOUT total NUMERIC, OUT label STRING", "sp_inner")  # fmt: skip
    body = """
      DECLARE sum_all NUMERIC DEFAULT 1;
      DECLARE text STRING;
      CALL `p.organizations`.sp_inner(1.5, sum_all, text);
      CALL organizations.sp_inner(NUMERIC '2', sum_all, text);
      SELECT sum_all, text;"""
    assert sql.script(body) == [(Decimal(8), "<2>")]


def test_arguments_are_typed_and_checked(sql: GoogleSql) -> None:
    sql.define("SELECT p_day, p_list;", "IN p_day DATE, p_list ARRAY<STRING>")
    arguments: dict[str, Any] = {
        "p_day": Parameter("STRING", "2026-01-02"),
        "p_list": Parameter("ARRAY<STRING>", ["a"]),
    }
    assert sql.call(**arguments).rows == [{"p_day": date(2026, 1, 2), "p_list": ["a"]}]
    with pytest.raises(InvalidInput, match="needs a value for its parameter 'p_list'"):
        sql.call(p_day=arguments["p_day"])
    with pytest.raises(InvalidInput, match=r"no parameter 'p_lst'\. Did you mean 'p_list'"):
        sql.call(**arguments, p_lst=arguments["p_list"])
    with pytest.raises(NotFound, match=r"No procedure is called 'sp_tst'\. Did you mean 'sp_test'"):
        sql.call("sp_tst")


def test_a_call_with_a_known_job_id_answers_as_the_first_time(sql: GoogleSql) -> None:
    sql.query("CREATE TABLE t (at TIMESTAMP, cost NUMERIC)")
    sql.define(
        "INSERT INTO t VALUES (CURRENT_TIMESTAMP(), 1.5); SELECT at, cost, [cost] AS list, STRUCT(cost) AS s FROM t;"
    )
    first, again = (sql.call(job_id="same") for _ in range(2))
    assert first == again
    assert first.rows_affected == 1
    assert sql.rows("SELECT COUNT(*) FROM t") == [(1,)]


def test_recursion_ends_with_an_error(sql: GoogleSql) -> None:
    with pytest.raises(StepFailed, match="nested deeper than 50"):
        sql.script("CALL organizations.sp_test();")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("SELECT FROM;\nIF TRUE THEN SELECT 1;", r"sp_test\.sql:\d+:\d+: syntax error"),
        ("SELECT 1 +;", r"sp_test\.sql:3:1: line 1.*syntax error"),
        ("SELECT COUNTIFF(TRUE);", r"sp_test\.sql:3:1: No function is called COUNTIFF. Did you mean 'COUNTIF'"),
        ("DECLARE x INT46;", r"sp_test\.sql:3:11: .*Did you mean 'INT64'"),
        ("EXPORT DATA OPTIONS (uri = 'gs://x') AS SELECT 1;", r"sp_test\.sql:3:1: .*cannot run here"),
        ("SELECT * FROM `{dataset}.t`;", r"sp_test\.sql:3: \{dataset\} has no value when a procedure is stored"),
        ("DECLARE f STRING;\nSELECT FORMAT(f, 1);", r"sp_test\.sql:4:1: FORMAT needs a literal pattern"),
        ("EXECUTE IMMEDIATE FORMAT(@@project_id);", r"sp_test\.sql:3:19: FORMAT needs a literal pattern"),
        ("SELECT FARM_FINGERPRINT('a');", r"sp_test\.sql:3:1: FARM_FINGERPRINT cannot run here"),
        ("SELECT CAST(CURRENT_DATE() AS STRING FORMAT 'YYYY');", r"sp_test\.sql:3:1: .*FORMAT"),
        ("DELETE FROM t;", r"sp_test\.sql:3:1: DELETE needs a WHERE"),
        ("SELECT * FROM t FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP();", r"sp_test\.sql:3:1: FOR SYSTEM_TIME AS OF"),
        ("LOAD DATA INTO t FROM FILES (format = 'CSV', uris = ['x']);", r"sp_test\.sql:3:1: .*cannot run here"),
    ],
)
def test_what_cannot_run_is_refused_by_place_and_name_before_it_is_stored(
    sql: GoogleSql, body: str, message: str
) -> None:
    with pytest.raises(ConfigErrors, match=message):
        sql.define(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("SELECT * FROM nowhere;", r"sp_test\.sql:3:1: There is no table d\.nowhere"),
        ("DECLARE a INT64;\nSET b = 1;", r"sp_test\.sql:4:1: No variable is called 'b'"),
        ("SELECT 1 FROM UNNEST([1]) AS n WHERE n = nn;", r"sp_test\.sql:3:1: There is no column 'nn'"),
        ("COMMIT TRANSACTION;", r"sp_test\.sql:3:1: COMMIT TRANSACTION without"),
        ("EXECUTE IMMEDIATE 'SELECT @x';", r"parameter @x has no value"),
        ("EXECUTE IMMEDIATE 'SELECT ?' USING 1, 2;", r"has 1 placeholders and 2 values"),
        ("LEAVE nowhere;", r"No loop or block is called 'nowhere'"),
        ("SELECT @@error.mesage;", r"No system variable is called @@error.mesage. Did you mean 'error.message'"),
    ],
)
def test_an_error_while_running_says_procedure_line_and_what(sql: GoogleSql, body: str, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        sql.script(body)


def test_an_endless_loop_ends_when_its_caller_stops_waiting(sql: GoogleSql) -> None:
    import asyncio

    sql.define("DECLARE n INT64 DEFAULT 0; LOOP SET n = n + 1; END LOOP;")

    async def give_up() -> Any:
        await asyncio.wait_for(sql.warehouse.call(ProcedureCall("sp_test", {}, scope=SCOPE, job_id="endless")), 0.2)

    with pytest.raises(TimeoutError):
        sql.wait(give_up())
    assert sql.value("1") == 1
