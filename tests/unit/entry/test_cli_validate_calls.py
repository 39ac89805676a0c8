"""`convergence validate` on calls of procedures: their arguments, and the names in what they run for them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.unit.entry.conftest import Cli
from tests.unit.entry.one_step import step

ORDERS: Final = (
    '[{"name": "order_id", "type": "STRING"}, {"name": "day", "type": "DATE"}, {"name": "amount", "type": "NUMERIC"}]'
)
PROCEDURE: Final = """CREATE OR REPLACE PROCEDURE `{project_id}`.organizations.sp_shop_sum(
  p_project_id STRING, p_dataset_id STRING, p_day DATE, INOUT p_least NUMERIC, OUT p_rows INT64
)
BEGIN
  DECLARE target STRING DEFAULT FORMAT('`%s.%s.shop_orders`', p_project_id, p_dataset_id);
  EXECUTE IMMEDIATE CONCAT('UPDATE ', target, ' SET amount = 0 WHERE day = @d') USING p_day AS d;
  EXECUTE IMMEDIATE 'DELETE FROM ' || target || ' WHERE COLUMN = 0';
  SET p_rows = @@row_count;
END;
"""
ARGUMENTS: Final = (
    "{name: p_project_id, value: '{project_id}'}, {name: p_dataset_id, value: '{org_dataset}'},"
    " {name: p_day, type: DATE, value: '{date}'}"
)
LEAST: Final = ", {name: p_least, type: NUMERIC, value: 1}"


def call(arguments: str, more: str = "") -> str:
    return step("generic.procedure_executor", f"{{procedure: sp_shop_sum, parameters: [{arguments}]{more}}}")


@pytest.fixture
def shop(configs: Path) -> Path:
    """The shop's folder, with a table and a procedure."""
    (configs / "shop/schemas").mkdir()
    (configs / "shop/schemas/shop_orders.json").write_text(ORDERS)
    define(configs, "amount")
    return configs


def define(configs: Path, column: str) -> None:
    folder = configs / "system/procedures/shop"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sp_shop_sum.sql").write_text(PROCEDURE.replace("COLUMN", column))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            call(f"{ARGUMENTS}{LEAST}, {{name: p_dya, type: DATE, value: '{{date}}'}}"),
            "config.parameters[4].name: sp_shop_sum has no parameter 'p_dya'. Did you mean 'p_day'?",
        ),
        (call(ARGUMENTS + LEAST, ", params: {p_more: 1}"), "params.p_more: sp_shop_sum has no parameter 'p_more'."),
        (call(ARGUMENTS), "config.procedure: sp_shop_sum needs a value for its parameter 'p_least'"),
    ],
)
def test_arguments_are_those_that_the_procedure_declares(cli: Cli, shop: Path, text: str, said: str) -> None:
    (shop / "shop/slip.yml").write_text(text)
    answer = cli("validate", "shop/slip")
    assert (answer.code, said in answer.err, "shop/slip.yml:6" in answer.err) == (2, True, True), answer.err


def test_a_call_that_fits_is_right(cli: Cli, shop: Path) -> None:
    (shop / "shop/slip.yml").write_text(call(ARGUMENTS.replace("p_day", "P_Day") + LEAST))
    answer = cli("validate", "shop/slip")
    assert (answer.code, "steps[" in answer.err) == (0, False), answer.err


def test_columns_of_dynamic_sql_are_looked_up_with_the_arguments_of_the_call(cli: Cli, shop: Path) -> None:
    define(shop, "amuont")
    (shop / "shop/slip.yml").write_text(call(ARGUMENTS + LEAST))
    answer = cli("validate", "shop/slip")
    assert answer.code == 2
    assert "system/procedures/shop/sp_shop_sum.sql:7:3" in answer.err, answer.err
    assert "There is no column 'amuont'. Did you mean 'amount'?" in answer.err


@pytest.mark.parametrize("dataset", ["'{shop_dataset}'", "'x{org_dataset}'"])
def test_dynamic_sql_that_only_the_run_knows_is_not_judged(cli: Cli, shop: Path, dataset: str) -> None:
    define(shop, "amuont")
    (shop / "shop/slip.yml").write_text(call((ARGUMENTS + LEAST).replace("'{org_dataset}'", dataset)))
    answer = cli("validate", "shop/slip")
    assert "amuont" not in answer.err


def test_a_table_without_a_file_is_not_judged(cli: Cli, shop: Path) -> None:
    define(shop, "amuont")
    (shop / "shop/schemas/shop_orders.json").unlink()
    (shop / "shop/slip.yml").write_text(call(ARGUMENTS + LEAST))
    assert "amuont" not in cli("validate", "shop/slip").err


BODY: Final = """CREATE OR REPLACE PROCEDURE `{project_id}`.organizations.NAME(p_table STRING, p_kind STRING)
BEGIN
STATEMENTS
END;
"""
DYNAMIC: Final = "EXECUTE IMMEDIATE CONCAT('SQL `local-dev-project.', @@dataset_id, '.', p_table, '` REST');"
TABLE: Final = "{name: p_table, value: shop_orders}, {name: p_kind, value: a}"


def dynamic(statement: str) -> str:
    before, _, after = statement.partition(" T ")
    return DYNAMIC.replace("SQL", before).replace("REST", after)


def add(configs: Path, name: str, *statements: str) -> None:
    folder = configs / "system/procedures/shop"
    (folder / f"{name}.sql").write_text(BODY.replace("NAME", name).replace("STATEMENTS", "\n".join(statements)))


@pytest.mark.parametrize(
    ("statements", "arguments"),
    [
        (
            [
                dynamic("DROP TABLE IF EXISTS T "),
                dynamic("CREATE TABLE T AS SELECT 1 AS n"),
                dynamic("UPDATE T SET n = 2 WHERE TRUE"),
            ],
            TABLE,
        ),
        (
            ["IF RAND() < 0 THEN", dynamic("DROP TABLE T "), "END IF;", dynamic("UPDATE T SET amount = 1 WHERE TRUE")],
            TABLE,
        ),
        (
            ["CALL `{project_id}`.organizations.sp_widen(p_table, '');", dynamic("UPDATE T SET fresh = 1 WHERE TRUE")],
            TABLE,
        ),
        (["IF p_kind = 'b' THEN", dynamic("UPDATE T SET of_b = 1 WHERE TRUE"), "END IF;"], TABLE),
        (
            [
                dynamic("CREATE TABLE IF NOT EXISTS T (cents NUMERIC(10, 2))"),
                dynamic("UPDATE T SET amount = 1 WHERE TRUE"),
            ],
            TABLE,
        ),
        (
            [dynamic("UPDATE T SET amount = 1 WHERE TRUE")],
            "{name: p_table, value: '', optional: true, default: shop_orders}, {name: p_kind, value: a}",
        ),
    ],
    ids=["made anew", "perhaps dropped", "altered by another", "branch not taken", "exists", "default"],
)
def test_what_runs_is_not_refused(cli: Cli, shop: Path, statements: list[str], arguments: str) -> None:
    add(shop, "sp_widen", dynamic("ALTER TABLE T ADD COLUMN IF NOT EXISTS fresh INT64"))
    add(shop, "sp_own", *statements)
    (shop / "shop/slip.yml").write_text(call(arguments).replace("sp_shop_sum", "sp_own"))
    answer = cli("validate", "shop/slip")
    assert (answer.code, "steps[" in answer.err) == (0, False), answer.err


def test_columns_that_a_statement_adds_are_the_run_s_to_know(cli: Cli, shop: Path) -> None:
    define(shop, "amuont")
    alter = "ALTER TABLE `{org_dataset}.shop_orders` ADD COLUMN IF NOT EXISTS amuont NUMERIC"
    first = f"  - {{step_id: alter_it, ps_type: generic.bq_execute, config: {{sql: '{alter}'}}}}\n"
    (shop / "shop/slip.yml").write_text(call(ARGUMENTS + LEAST).replace("steps:\n", f"steps:\n{first}"))
    assert "amuont" not in cli("validate", "shop/slip").err
    (shop / "shop/slip.yml").write_text(call(ARGUMENTS + LEAST))
    file = shop / "system/procedures/shop/sp_shop_sum.sql"
    added = "ALTER TABLE shop_orders ADD COLUMN IF NOT EXISTS amuont NUMERIC;\n  EXECUTE"
    file.write_text(file.read_text().replace("EXECUTE", added, 1))
    assert "amuont" not in cli("validate", "shop/slip").err


CAUGHT: Final = """BEGIN
    EXECUTE IMMEDIATE 'DELETE FROM ' || target || ' WHERE no_column = 1';
  EXCEPTION WHEN ERROR THEN
    HANDLER
  END;"""


@pytest.mark.parametrize(("handler", "code"), [("SET p_rows = -1;", 0), ("SET p_rows = -1; RAISE;", 2)])
def test_a_mistake_counts_unless_the_procedure_catches_it(cli: Cli, shop: Path, handler: str, code: int) -> None:
    file = shop / "system/procedures/shop/sp_shop_sum.sql"
    caught = CAUGHT.replace("HANDLER", handler)
    file.write_text(file.read_text().replace("SET p_rows = @@row_count;", caught))
    (shop / "shop/slip.yml").write_text(call(ARGUMENTS + LEAST))
    answer = cli("validate", "shop/slip")
    assert (answer.code, "no_column" in answer.err) == (code, code == 2), answer.err
