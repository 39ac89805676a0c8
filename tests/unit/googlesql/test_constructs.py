"""Every construct and function that users' procedures contain, in procedures written as users write them.

`CONSTRUCTS` is the list that was counted over their files; the first test keeps it covered.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any, Final

import pytest
from tests.unit.googlesql.conftest import GoogleSql

from convergence.errors import ConfigErrors, StepFailed
from convergence.ports.warehouse import Parameter, Routine

CONSTRUCTS: Final = {
    "DECLARE with default": r"DECLARE \w+ \w+ DEFAULT",
    "DECLARE without default": r"DECLARE \w+ \w+;",
    "DECLARE of an array": r"DECLARE \w+ ARRAY<STRING> DEFAULT",
    "SET": r"\bSET \w+ = ",
    "IF ELSE": r"IF .+ THEN[\s\S]+?ELSE[\s\S]+?END IF",
    "ELSEIF": r"ELSEIF",
    "ASSERT AS": r"ASSERT [\s\S]+? AS ['\"]",
    "CALL": r"CALL `\{project_id\}\.organizations`\.sp_\w+\(",
    "OPTIONS (strict_mode)": r"OPTIONS ?\(strict_mode ?=",
    "BEGIN TRANSACTION": r"BEGIN TRANSACTION;",
    "COMMIT TRANSACTION": r"COMMIT TRANSACTION;",
    "ROLLBACK": r"ROLLBACK TRANSACTION;",
    "EXCEPTION WHEN ERROR": r"EXCEPTION WHEN ERROR THEN",
    "nested handlers": r"EXCEPTION WHEN ERROR THEN(?:(?!END;)[\s\S])*BEGIN(?:(?!END;)[\s\S])*EXCEPTION WHEN ERROR THEN",
    "RAISE USING MESSAGE": r"RAISE USING MESSAGE = CONCAT\([^;]*@@error\.message",
    "@@error.statement_text": r"@@error\.statement_text",
    "@@row_count": r"@@row_count",
    "EXECUTE IMMEDIATE FORMAT": r'EXECUTE IMMEDIATE FORMAT\("""',
    "FORMAT %s": r"`%s\.%s`",
    "FORMAT %d": r"%d",
    "FORMAT %%": r"%%",
    "INTO nine targets": r"INTO (\w+, ){8}\w+",
    "USING expressions": r"USING[^;]*\w+\([^;]*\) AS \w+",
    "placeholder": r"`\{project_id\}\.organizations`\.sp_",
    "__TABLES__": r"__TABLES__",
    "INSERT SELECT": r"INSERT INTO [^;]+?\bSELECT\b",
    "DELETE": r"DELETE FROM",
    "UPDATE": r"UPDATE \w+ SET|UPDATE `",
    "CTE": r"WITH \w+ AS \(",
    "RENAME COLUMN": r"RENAME COLUMN",
    "ADD COLUMN IF NOT EXISTS": r"ADD COLUMN IF NOT EXISTS",
    "GENERATE_DATE_ARRAY with CROSS JOIN UNNEST": r"CROSS JOIN UNNEST\(GENERATE_DATE_ARRAY\(",
    "* EXCEPT": r"\* EXCEPT",
    "INTERVAL": r"INTERVAL",
    "SAFE.PARSE_JSON": r"SAFE\.PARSE_JSON",
    "CAST AS NUMERIC": r"CAST\([^;]+? AS NUMERIC\)",
    **{
        name: rf"\b{name}\("
        for name in (
            "COALESCE", "CAST", "JSON_EXTRACT_SCALAR", "CURRENT_TIMESTAMP", "EXTRACT", "CONCAT", "GENERATE_UUID",
            "JSON_OBJECT", "MOD", "REGEXP_CONTAINS", "REGEXP_EXTRACT", "REGEXP_REPLACE", "DATE_TRUNC", "COUNTIF",
            "ARRAY_CONCAT", "INITCAP", "LAST_DAY", "DATE_DIFF", "DIV", "GENERATE_DATE_ARRAY", "LOGICAL_AND",
            "ANY_VALUE", "TO_JSON_STRING", "LPAD",
        )
    },
}  # fmt: skip

CONSOLIDATE: Final = '''
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_consolidate(
  p_dataset STRING, p_from DATE, p_to DATE, p_limit INT64
)
OPTIONS (strict_mode = FALSE)
BEGIN
  -- 100 % of `{project_id}` below is the project; {other} words in comments are left alone
  DECLARE v_project STRING DEFAULT '{project_id}';
  DECLARE v_count INT64 DEFAULT 0;
  DECLARE v_models ARRAY<STRING> DEFAULT ['gpt-4o', 'o3'];
  DECLARE v_error STRING;
  SET v_project = @@project_id;
  ASSERT p_dataset IS NOT NULL AS "p_dataset must be given";
  ASSERT p_from <= p_to AS """p_from lies behind p_to""";

  BEGIN
    BEGIN TRANSACTION;
    EXECUTE IMMEDIATE FORMAT("""
      DELETE FROM `%s.%s`.costs
      WHERE day BETWEEN @from_day AND @to_day  -- 100%% of the range
    """, v_project, p_dataset)
    USING p_from AS from_day, DATE_ADD(p_to, INTERVAL 0 DAY) AS to_day;

    EXECUTE IMMEDIATE FORMAT("""
      INSERT INTO `%s.%s`.costs (day, model, tokens, cost, note)
      WITH per_day AS (
        SELECT
          day,
          COALESCE(NULLIF(model, ''), 'unknown') AS model,
          SUM(tokens) AS tokens,
          SUM(CAST(tokens AS NUMERIC) * price / 1000000) AS cost,
          ANY_VALUE(raw) AS raw
        FROM `%s.%s`.raw_usage
        WHERE day BETWEEN @from_day AND @to_day
          AND model IN UNNEST(@models)
          AND model LIKE '%%o%%'
        GROUP BY 1, 2
      )
      SELECT * EXCEPT (raw), JSON_EXTRACT_SCALAR(raw, '$.note')
      FROM per_day
      LIMIT %d
    """, v_project, p_dataset, v_project, p_dataset, p_limit)
    USING p_from AS from_day, p_to AS to_day, ARRAY_CONCAT(v_models, ['o4-mini']) AS models;
    SET v_count = @@row_count;

    IF v_count = 0 THEN
      RAISE USING MESSAGE = 'nothing to consolidate';
    ELSEIF v_count > 1000 THEN
      ROLLBACK TRANSACTION;
    ELSE
      UPDATE `{project_id}.d`.costs SET note = CONCAT(COALESCE(note, ''), '!') WHERE TRUE;
    END IF;
    COMMIT TRANSACTION;
  EXCEPTION WHEN ERROR THEN
    SET v_error = @@error.message;
    BEGIN
      INSERT INTO `{project_id}.d`.mistakes (id, at, message, statement)
      SELECT GENERATE_UUID(), CURRENT_TIMESTAMP(), @@error.message, @@error.statement_text;
    EXCEPTION WHEN ERROR THEN
      SELECT 'the log is not reachable';
    END;
    RAISE USING MESSAGE = CONCAT('sp_consolidate failed: ', @@error.message);
  END;

  SELECT p_dataset AS dataset, v_count AS rows_written, (SELECT SUM(cost) FROM `{project_id}.d`.costs) AS cost;
END;
'''

PROFILE: Final = '''
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_profile(p_dataset STRING, OUT v_summary STRING)
OPTIONS(strict_mode=TRUE, description="figures of a dataset")
BEGIN
  DECLARE v_rows INT64;
  DECLARE v_bad INT64;
  DECLARE v_min, v_max DATE;
  DECLARE v_all BOOL;
  DECLARE v_cost NUMERIC;
  DECLARE v_any STRING;
  DECLARE v_days INT64;
  DECLARE v_half INT64;
  DECLARE v_tables INT64 DEFAULT 0;
  EXECUTE IMMEDIATE FORMAT("""
    SELECT COUNT(*), COUNTIF(price <= 0), MIN(day), MAX(day), LOGICAL_AND(tokens >= 0),
      CAST(SUM(tokens * price) AS NUMERIC), ANY_VALUE(model), DATE_DIFF(MAX(day), MIN(day), DAY) + 1,
      DIV(COUNT(*), 2)
    FROM `%s.%s`.raw_usage WHERE MOD(tokens, @step) = 0
  """, @@project_id, p_dataset)
  INTO v_rows, v_bad, v_min, v_max, v_all, v_cost, v_any, v_days, v_half
  USING GREATEST(1, 100) AS step;
  EXECUTE IMMEDIATE FORMAT("SELECT COUNT(*) FROM `%s.%s.__TABLES__` WHERE table_id = 'raw_usage'",
    @@project_id, p_dataset) INTO v_tables;
  ASSERT v_tables = 1 AS 'raw_usage is missing';
  SET v_summary = TO_JSON_STRING(JSON_OBJECT('rows', v_rows, 'bad', v_bad, 'from', CAST(v_min AS STRING),
    'to', CAST(v_max AS STRING), 'valid', v_all, 'cost', v_cost, 'days', v_days, 'half', v_half));
  SELECT v_summary AS summary;
END
'''

CALENDAR: Final = """
CREATE PROCEDURE `{project_id}.organizations`.sp_calendar(p_month DATE)
OPTIONS ()
BEGIN
  DECLARE v_text STRING;
  CALL `{project_id}.organizations`.sp_profile('d', v_text);
  SELECT
    day,
    CONCAT(CAST(EXTRACT(YEAR FROM day) AS STRING), '-', LPAD(CAST(EXTRACT(MONTH FROM day) AS STRING), 2, '0')) AS month,
    LAST_DAY(day) AS closes,
    DATE_TRUNC(day, MONTH) AS opens,
    INITCAP(REGEXP_REPLACE(plan, r'[_-]+', ' ')) AS plan,
    REGEXP_EXTRACT(plan, r'^([a-z]+)_') AS tier,
    CAST(JSON_EXTRACT_SCALAR(v_text, '$.cost') AS NUMERIC) / EXTRACT(DAY FROM LAST_DAY(day)) AS share,
    SAFE.PARSE_JSON(plan) IS NULL AS is_text
  FROM UNNEST(['team_monthly-plan']) AS plan
  CROSS JOIN UNNEST(GENERATE_DATE_ARRAY(p_month, DATE_ADD(p_month, INTERVAL 1 DAY))) AS day
  WHERE REGEXP_CONTAINS(plan, r'^team')
  ORDER BY day;
END;
"""

MIGRATION: Final = """
ALTER TABLE `{project_id}.d`.raw_usage RENAME COLUMN raw TO payload;
ALTER TABLE `{project_id}.d`.raw_usage ADD COLUMN IF NOT EXISTS region STRING, ADD COLUMN IF NOT EXISTS model STRING;
UPDATE `{project_id}.d`.raw_usage SET region = 'eu' WHERE region IS NULL;
"""


@pytest.fixture
def usage(sql: GoogleSql) -> GoogleSql:
    sql.query("CREATE TABLE raw_usage (day DATE, model STRING, tokens INT64, price NUMERIC, raw STRING)")
    sql.query("""INSERT INTO raw_usage VALUES
      (DATE '2026-01-01', 'gpt-4o', 1000, 2.5, '{"note": "a"}'), (DATE '2026-01-02', 'o3', 500, 10, NULL)""")
    sql.query("CREATE TABLE costs (day DATE, model STRING, tokens INT64, cost NUMERIC, note STRING)")
    sql.query("CREATE TABLE mistakes (id STRING, at TIMESTAMP, message STRING, statement STRING)")
    store(sql, sp_consolidate=CONSOLIDATE, sp_profile=PROFILE, sp_calendar=CALENDAR)
    return sql


def store(sql: GoogleSql, **definitions: str) -> None:
    routines = [Routine(name, "1", f"{name}.sql", text) for name, text in definitions.items()]
    sql.wait(sql.warehouse.sync_routines(routines, force=True))


def arguments(first: date, last: date) -> dict[str, Any]:
    return {
        "p_dataset": Parameter("STRING", "d"),
        "p_from": Parameter("DATE", first),
        "p_to": Parameter("DATE", last),
        "p_limit": Parameter("INT64", 100),
    }


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_a_procedure_below_contains_it(construct: str) -> None:
    assert re.search(CONSTRUCTS[construct], CONSOLIDATE + PROFILE + CALENDAR + MIGRATION)


def test_usage_is_consolidated_by_dynamic_sql(usage: GoogleSql) -> None:
    result = usage.call("sp_consolidate", **arguments(date(2026, 1, 1), date(2026, 1, 31)))
    assert result.rows == [{"dataset": "d", "rows_written": 2, "cost": Decimal("0.0075")}]
    assert usage.rows("SELECT model, cost, note FROM costs ORDER BY day") == [
        ("gpt-4o", Decimal("0.0025"), "a!"),
        ("o3", Decimal("0.005"), "!"),
    ]


def test_a_procedure_that_fails_reports_the_reason_and_undoes_its_transaction(usage: GoogleSql) -> None:
    usage.query("INSERT INTO costs (day, model) VALUES (DATE '2027-01-01', 'kept')")
    with pytest.raises(StepFailed, match=r"sp_consolidate\.sql:\d+:5: sp_consolidate failed: nothing to consolidate"):
        usage.call("sp_consolidate", **arguments(date(2027, 1, 1), date(2027, 1, 31)))
    assert usage.rows("SELECT model FROM costs") == [("kept",)]
    with pytest.raises(StepFailed, match="p_from lies behind p_to"):
        usage.call("sp_consolidate", **arguments(date(2026, 2, 1), date(2026, 1, 1)))


def test_nine_figures_go_into_nine_variables(usage: GoogleSql) -> None:
    [row] = usage.call("sp_profile", p_dataset=Parameter("STRING", "d")).rows
    assert row["summary"] == (
        '{"bad":0,"cost":7500,"days":2,"from":"2026-01-01","half":1,"rows":2,"to":"2026-01-02","valid":true}'
    )


def test_a_calendar_is_made_of_a_date_array(usage: GoogleSql) -> None:
    first, second = usage.call("sp_calendar", p_month=Parameter("DATE", date(2026, 2, 1))).rows
    assert first == {
        "day": date(2026, 2, 1),
        "month": "2026-02",
        "closes": date(2026, 2, 28),
        "opens": date(2026, 2, 1),
        "plan": "Team Monthly Plan",
        "tier": "team",
        "share": Decimal("267.857142857"),
        "is_text": True,
    }
    assert second["day"] == date(2026, 2, 2)


def test_the_catalogue_lists_procedures(usage: GoogleSql) -> None:
    names = "SELECT routine_name, routine_type FROM `p.d`.INFORMATION_SCHEMA.ROUTINES WHERE routine_body = 'SQL'"
    assert ("sp_calendar", "PROCEDURE") in usage.rows(names)
    [(text,)] = usage.rows("SELECT ddl FROM d.INFORMATION_SCHEMA.ROUTINES WHERE routine_name = 'sp_profile'")
    assert text == PROFILE


def test_a_migration_renames_and_adds_columns(usage: GoogleSql) -> None:
    script = Routine("001_rename", "1", "001_rename.sql", MIGRATION)
    assert usage.wait(usage.warehouse.migrate([script], dataset="d")) == ["001_rename"]
    assert usage.rows("SELECT DISTINCT region FROM raw_usage") == [("eu",)]
    assert usage.rows("SELECT payload FROM raw_usage WHERE payload IS NOT NULL") == [('{"note": "a"}',)]


@pytest.mark.parametrize(
    "options",
    [
        "",
        "OPTIONS(strict_mode=FALSE)",
        "OPTIONS (strict_mode = true)",
        "options\n(\n  STRICT_MODE = False -- checked when it runs\n)",
        "OPTIONS (description = 'a, (b)', strict_mode = TRUE)",
        "OPTIONS ()",
    ],
)
@pytest.mark.parametrize("head", ["CREATE OR REPLACE PROCEDURE", "CREATE PROCEDURE IF NOT EXISTS", "create procedure"])
def test_options_stand_between_arguments_and_body(sql: GoogleSql, head: str, options: str) -> None:
    store(sql, sp_x=f"{head} `{{project_id}}.organizations`.sp_x(a INT64)\n{options}\nBEGIN SELECT a + 1 AS b; END;")
    assert sql.call("sp_x", a=Parameter("INT64", 1)).rows == [{"b": 2}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("OPTIONS (strict_mod = TRUE)", "a procedure has no option 'strict_mod'.* Did you mean 'strict_mode'"),
        ("OPTIONS (strict_mode = 1)", "strict_mode must be TRUE or FALSE, found '1'"),
        ("OPTIONS strict_mode", r"\( is expected, found 'strict_mode'"),
    ],
)
def test_options_that_do_not_exist_are_refused(sql: GoogleSql, options: str, message: str) -> None:
    with pytest.raises(ConfigErrors, match=r"sp_x\.sql:2:\d+: syntax error: " + message):
        store(sql, sp_x=f"CREATE PROCEDURE d.sp_x()\n{options}\nBEGIN SELECT 1; END;")


def test_the_body_of_a_procedure_may_have_its_own_handler(sql: GoogleSql) -> None:
    text = "BEGIN SELECT 1 / 0; EXCEPTION WHEN ERROR THEN SELECT @@error.message AS why; END"
    store(sql, sp_x=f"CREATE PROCEDURE d.sp_x()\n{text}")
    assert sql.call("sp_x").rows == [{"why": "division by zero"}]
