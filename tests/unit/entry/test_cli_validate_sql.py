"""`convergence validate` finds what the tables of a statement do not have, before any table is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.entry.conftest import Cli
from tests.unit.entry.one_step import HEAD, step

ORDERS = (
    '[{"name": "order_id", "type": "STRING", "mode": "REQUIRED"}, {"name": "day", "type": "DATE"},'
    ' {"name": "amount", "type": "NUMERIC"}]'
)
TO_ORDERS = "    destination: {table: shop_orders, date_field: day}\n"
API = "{url: 'https://api.example.com/v1/orders', data_path: data}"
QUERY = """
      query: |
        SELECT order_id, day,
          %s
        FROM `{project_id}.{org_dataset}.shop_orders`
        WHERE day BETWEEN '{start_date}' AND '{end_date}'
"""


def select(column: str, rest: str = TO_ORDERS) -> str:
    """Return a file whose one step selects a column beside the key."""
    return step("generic.bq_execute", QUERY % column, rest)


def check(text: str) -> str:
    """Return a file with one check of data."""
    return step("generic.dq_check", f"{{table: shop_orders, checks: [{text}]}}")


REFUSED = {
    "a column of the table": (
        select("amuont AS amount"),
        "shop/slip.yml:9: steps[0].config.query: There is no column 'amuont'.",
        "Did you mean 'amount'?",
    ),
    "a column of the destination": (
        select("amount AS total"),
        "shop/slip.yml:9: steps[0].config.query: the statement sets 'total', but shop_orders has no such column.",
        "Use one of: amount,",
    ),
    "a column that the destination needs": (
        step("generic.local_bq_transformer", "{sql: SELECT DATE '2026-11-01' AS day}", TO_ORDERS),
        "shop/slip.yml:6:14: steps[0].config.sql: shop_orders needs the column 'order_id'",
        "does not set",
    ),
    "a column that is not grouped": (
        step("generic.bq_execute", "{sql: 'SELECT day, order_id FROM shop_orders GROUP BY day'}", TO_ORDERS),
        "shop/slip.yml:6:14: steps[0].config.sql: Column 'order_id' is neither grouped nor aggregated",
        "add it to GROUP BY",
    ),
    "the list of an INSERT": (
        step("generic.bq_execute", "{sql: \"INSERT INTO shop_orders (order_id, days) VALUES ('a', NULL)\"}"),
        "shop/slip.yml:6:14: steps[0].config.sql: There is no column 'days'.",
        "Did you mean 'day'?",
    ),
    "a type": (
        step("generic.bq_execute", "{sql: 'UPDATE shop_orders SET day = amount WHERE TRUE'}"),
        "shop/slip.yml:6:14: steps[0].config.sql:",
        "DATE",
    ),
    "a type of the destination": (
        select("day AS amount"),
        "shop/slip.yml:9: steps[0].config.query: shop_orders: a value of type DATE cannot go into the column 'amount'",
        "of type NUMERIC: CAST it",
    ),
    "a text of the destination": (
        select("'much' AS amount"),
        "shop/slip.yml:9: steps[0].config.query: shop_orders: the string 'much' cannot go into",
        "the column 'amount' of type NUMERIC",
    ),
    "a day that the calendar does not have": (
        step("generic.bq_execute", "{sql: \"SELECT order_id FROM shop_orders WHERE day = '2026-13-45'\"}", TO_ORDERS),
        "shop/slip.yml:6:14: steps[0].config.sql: The text '2026-13-45' beside a DATE is not a DATE",
        "write it as '2026-11-07'",
    ),
    "a parameter without a declaration": (
        step("generic.bq_execute", "{sql: SELECT order_id FROM shop_orders WHERE day = @dat}", TO_ORDERS).replace(
            "steps:", "parameters: {date: {type: date, default: YESTERDAY}}\nsteps:"
        ),
        "shop/slip.yml:7:14: steps[0].config.sql: 'dat' is not among the declared parameters.",
        "Did you mean 'date'",
    ),
    "the elements of an array without an alias": (
        step("generic.bq_execute", "{sql: 'SELECT * FROM UNNEST([1, 2])'}", TO_ORDERS),
        "shop/slip.yml:6:14: steps[0].config.sql: the statement sets 'f0_', but shop_orders has no such column.",
        "Use one of: amount,",
    ),
    "field_mapping": (
        step("generic.api_extractor", API, f"{TO_ORDERS}    transform: {{field_mapping: {{id: order}}}}\n"),
        "steps[0].transform.field_mapping.id: shop_orders has no column 'order'.",
        "Did you mean 'order_id'",
    ),
    "a function of another dialect": (
        select("NVL2(amount, 1, 2) AS amount"),
        "shop/slip.yml:9: steps[0].config.query: No function is called NVL2.",
        "Write IF(x IS NOT NULL, a, b).",
    ),
    "a column in double quotes": (
        step("generic.bq_execute", """{sql: 'SELECT "order_id" FROM shop_orders'}""", TO_ORDERS),
        'shop/slip.yml:6:14: steps[0].config.sql: "order_id" is a string in GoogleSQL',
        "write the column without quotes, or as `order_id`",
    ),
    "a table in double quotes": (
        step("generic.bq_execute", """{sql: 'SELECT order_id FROM "shop_orders"'}""", TO_ORDERS),
        "shop/slip.yml:6:14: steps[0].config.sql: line 1, column",
        "write it without quotes or in backticks, `shop_orders`",
    ),
    "a column of a new table's query": (
        step("generic.bq_execute", "{sql: CREATE TABLE shop_sums AS SELECT SUM(amuont) AS x FROM shop_orders}"),
        "shop/slip.yml:6:14: steps[0].config.sql: There is no column 'amuont'.",
        "Did you mean 'amount'?",
    ),
    "upsert": (
        select("amount", "    destination: {table: shop_orders, write_mode: upsert}\n"),
        "steps[0].destination: write_mode merge needs key_fields",
        "key_fields: [day, model]",
    ),
    "a mode with a slip": (
        select("amount", "    destination: {table: shop_orders, write_mode: overwrit}\n"),
        "steps[0].destination.write_mode: write_mode is not 'overwrit'.",
        "Did you mean 'overwrite'?",
    ),
    "then without an outcome": (
        step("generic.noop", "{}", "then: shop/load\n"),
        "shop/slip.yml:7:1: then: then must say after which outcome",
        "then: {on_success: [shop/load]}",
    ),
    "add_fields": (
        step("generic.api_extractor", API, f"{TO_ORDERS}    transform: {{add_fields: {{dya: '{{date}}'}}}}\n"),
        "steps[0].transform.add_fields.dya: shop_orders has no column 'dya'.",
        "Did you mean 'day'",
    ),
    "date_field": (
        select("amount", "    destination: {table: shop_orders, date_field: dya}\n"),
        "steps[0].destination.date_field: shop_orders has no column 'dya'.",
        "Did you mean 'day'",
    ),
    "key_fields": (
        select("amount", "    destination: {table: shop_orders, key_fields: [order_id, ordr]}\n"),
        "steps[0].destination.key_fields[1]: shop_orders has no column 'ordr'.",
        "Did you mean 'order_id'",
    ),
    "the column of a check": (
        check("{type: not_null, column: order}"),
        "steps[0].config.checks[0]: shop_orders has no column 'order'.",
        "Did you mean 'order_id'",
    ),
    "the table that a check compares with": (
        check("{type: row_count, source_table: shop_ordres}"),
        "the table 'shop_ordres' has no schema.",
        "Did you mean 'shop_orders'",
    ),
    "a check's own statement": (
        check("{type: custom_sql, sql: SELECT amuont FROM shop_orders}"),
        "steps[0].config.checks[0].sql: There is no column 'amuont'.",
        "Did you mean 'amount'?",
    ),
    "a central table that is written": (
        step("generic.bq_execute", "{sql: DELETE FROM organizations.org_profiles WHERE TRUE}"),
        "organizations.org_profiles cannot be written by a run",
        "would undo the change. Use the API",
    ),
}  # fmt: skip
DOUBTFUL = {
    "the dataset of one org": (
        step("generic.bq_execute", "{sql: SELECT 1 AS n FROM other_dev.shop_orders}"),
        "shop/slip.yml:6:14: steps[0].config.sql: 'other_dev' is the dataset of one org",
        "write `{org_dataset}`",
    ),
    "a table with a near name": (
        step("generic.bq_execute", "{sql: DELETE FROM shop_ordrs WHERE TRUE}"),
        "shop/slip.yml:6:14: steps[0].config.sql: no schema file describes the table 'shop_ordrs'.",
        "Did you mean 'shop_orders'",
    ),
}
RIGHT = {
    "the same columns": select("amount"),
    "lineage and all columns": step("generic.bq_execute", "{sql: SELECT * FROM shop_orders}", TO_ORDERS),
    "a NULL and a text that is a number": select("IF(day IS NULL, NULL, '12.5') AS amount"),
    "NULL": select("NULL AS amount"),
    "a column that a step of the file adds": (
        f"{HEAD}steps:\n"
        "  - {step_id: load_columns, ps_type: generic.bq_execute,"
        " config: {sql: 'ALTER TABLE `{org_dataset}.shop_orders` ADD COLUMN IF NOT EXISTS note STRING'}}\n"
        "  - {step_id: load_notes, ps_type: generic.bq_execute, depends_on: load_columns,"
        " config: {sql: \"UPDATE shop_orders SET note = 'x' WHERE TRUE\"}}\n"
    ),
    "a parameter that the run gives": (
        step("generic.bq_execute", "{sql: SELECT order_id FROM shop_orders WHERE amount > @least_wanted}", TO_ORDERS)
    ),
    "a table apart": step("generic.api_extractor", API, "    destination: {table: shop_order, schema: infer}\n"),
    "fields that the records bring": step(
        "generic.api_extractor",
        API,
        "    destination: {table: shop_orders_raw2, schema: infer}\n    transform: {field_mapping: {id: order}}\n",
    ),
    "a value whose type the run knows": select("'{billing_account}' AS amount"),
    "a table that the file makes": (
        f"{HEAD}steps:\n"
        "  - {step_id: load_it, ps_type: generic.bq_execute, config: {sql: CREATE TABLE shop_order AS SELECT 1 AS x}}\n"
        "  - {step_id: delete_it, ps_type: generic.bq_execute, depends_on: load_it,"
        " config: {sql: DELETE FROM shop_order WHERE x = 1}}\n"
    ),
    "rows of its own in a central table": step(
        "generic.bq_execute",
        "{sql: 'SELECT p.org_slug AS order_id FROM organizations.org_profiles AS p'}",
        TO_ORDERS,
    ),
    "parameters of the step's own": step(
        "generic.bq_execute",
        "{sql: DELETE FROM shop_orders WHERE day = @d, parameters: [{name: d, type: DATE, value: '{date}'}]}",
    ),
    "an array of a table": step(
        "generic.bq_execute",
        "{sql: 'SELECT l.key AS order_id FROM organizations.org_hierarchy AS h, h.labels AS l'}",
        TO_ORDERS,
    ),
}  # fmt: skip


@pytest.fixture
def shop(configs: Path) -> Path:
    """The shop's folder, with a table."""
    (configs / "shop/schemas").mkdir()
    (configs / "shop/schemas/shop_orders.json").write_text(ORDERS)
    return configs / "shop"


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_a_table_does_not_have_is_refused_at_its_line(cli: Cli, shop: Path, name: str) -> None:
    text, place, cure = REFUSED[name]
    (shop / "slip.yml").write_text(text)
    answer = cli("validate", "shop/slip")
    assert (answer.code, place in answer.err, cure in answer.err) == (2, True, True), answer.err


@pytest.mark.parametrize("name", list(DOUBTFUL))
def test_what_may_be_there_at_the_run_is_a_warning(cli: Cli, shop: Path, name: str) -> None:
    text, place, cure = DOUBTFUL[name]
    (shop / "slip.yml").write_text(text)
    answer = cli("validate", "shop/slip")
    assert (answer.code, f"warning: configs/{place}" in answer.err, cure in answer.err) == (0, True, True), answer.err


@pytest.mark.parametrize("name", list(RIGHT))
def test_what_runs_is_right(cli: Cli, shop: Path, name: str) -> None:
    (shop / "slip.yml").write_text(RIGHT[name])
    answer = cli("validate", "shop/slip")
    assert answer.code == 0, answer.err
    assert "steps[" not in answer.err, answer.err


@pytest.mark.parametrize("column", ["amuont AS amount", "amount AS total"])
def test_a_step_that_is_switched_off_draws_a_warning(cli: Cli, shop: Path, column: str) -> None:
    (shop / "slip.yml").write_text(select(column, f"{TO_ORDERS}    enabled: false\n"))
    answer = cli("validate", "shop/slip")
    assert (answer.code, "warning: configs/shop/slip.yml:9: steps[0].config.query" in answer.err) == (0, True), (
        answer.err
    )


def test_columns_that_a_migration_may_have_added_are_left_to_the_run(cli: Cli, configs: Path, shop: Path) -> None:
    (shop / "slip.yml").write_text(step("generic.bq_execute", "{sql: UPDATE shop_orders SET note = 'x' WHERE TRUE}"))
    assert "There is no column 'note'." in cli("validate", "shop/slip").err
    (configs / "system/migrations").mkdir()
    migration = "ALTER TABLE `{project}.{dataset}.shop_orders` ADD COLUMN note STRING;\n"
    (configs / "system/migrations/0001_note.sql").write_text(migration)
    answer = cli("validate", "shop/slip")
    assert (answer.code, "shop/slip" in answer.err) == (0, False), answer.err


def test_a_file_of_checks_is_read_where_a_step_names_it(cli: Cli, shop: Path) -> None:
    (shop / "checks").mkdir()
    (shop / "slip.yml").write_text(step("generic.dq_check", "{dq_config: shop/checks/orders.yml}"))
    wrong = {
        "checks: [{type: not_null, column: order}]": "shop_orders has no column 'order'.",
        "checks: [{type: custom_sql, sql: SELEC 1}]": "Did you mean SELECT instead of SELEC?",
        "checks: [{type: custom_sql, sql: SELECT amuont FROM shop_orders}]": "There is no column 'amuont'.",
        "checks: [{type: nul, column: day}]": "checks.0.type",
    }
    for text, said in wrong.items():
        (shop / "checks/orders.yml").write_text(f"table: shop_orders\n{text}\n")
        answer = cli("validate", "shop/slip")
        assert (answer.code, said in answer.err) == (2, True), answer.err
    (shop / "checks/orders.yml").write_text("table: shop_orders\nchecks: [{type: not_null, column: day}]\n")
    assert cli("validate", "shop/slip").code == 0
    (shop / "checks/orders.yml").unlink()
    assert "there is no file 'shop/checks/orders.yml'" in cli("validate", "shop/slip").err


def test_reports_views_and_migrations_are_read(cli: Cli, configs: Path) -> None:
    (configs / "system/migrations").mkdir()
    files = {
        "system/reports/slip.sql": (
            "-- Slip\nSELECT\n  BiledCost\nFROM {dataset}.cost_data_standard_1_3\n",
            ":2: There is no column 'BiledCost'. Did you mean 'BilledCost",
        ),
        "system/views/slip.sql": ("-- Slip\nSELECT 1 AS n\nFORM {dataset}.cost_data_standard_1_3\n", ":3: column"),
        "system/reports/mute.sql": ("SELECT 1 AS n\n", ":1: the first line must be"),
        "system/reports/far.sql": ("-- Far\nSELECT 1 AS n FROM acme_dev.orders\n", ":2: 'acme_dev' names a dataset"),
        "system/migrations/0001_slip.sql": ("ALTER TABLE shop_orders ADD COLUMN n INT64;\nSELCT 1;\n", ":2:1: "),
        "system/migrations/0002_good.sql": ("ALTER TABLE `{project}.{dataset}.shop_orders` ADD COLUMN n INT64;\n", ""),
    }  # fmt: skip
    for name, (text, _) in files.items():
        (configs / name).write_text(text)
    answer = cli("validate", "system")
    assert answer.code == 2
    for name, (_, said) in files.items():
        assert (f"{name}{said}" in answer.err) == bool(said), (name, answer.err)
    for name, (_, said) in files.items():
        if said:
            (configs / name).unlink()
    assert "1 migration, " in cli("validate", "system").out


def test_a_plan_reads_the_statements_too(cli: Cli, shop: Path) -> None:
    assert cli("org", "create", "acme").code == 0
    (shop / "slip.yml").write_text(select("amuont AS amount"))
    answer = cli("plan", "acme", "shop/slip")
    assert (answer.code, "There is no column 'amuont'." in answer.err) == (2, True), answer.err
    (shop / "slip.yml").write_text(DOUBTFUL["the dataset of one org"][0])
    assert "'other_dev' is the dataset of one org" in str(cli("plan", "acme", "shop/slip", "--json").data["warnings"])


def test_a_column_that_is_not_there_starts_no_run(cli: Cli, shop: Path) -> None:
    assert cli("org", "create", "acme").code == 0
    (shop / "slip.yml").write_text(select("amount", "    destination: {table: shop_orders, date_field: dya}\n"))
    for command in ("plan", "run"):
        answer = cli(command, "acme", "shop/slip")
        assert (answer.code, "shop_orders has no column 'dya'" in answer.err) == (2, True), answer.err


def test_a_near_table_of_another_org_is_never_named(acme: Cli) -> None:
    assert acme("org", "create", "globex").code == 0
    assert acme("run", "globex", "shop/load", "-p", "file=openai/seed/subscription_plans.csv").code == 0
    slip = "SELECT plan.x FROM openai_subscription_plan AS plan"
    assert "Did you mean 'openai_subscription_plans'?" in acme("query", "globex", slip).err
    other = acme("query", "acme", slip).err
    assert "There is no table acme_dev.openai_subscription_plan." in other
    assert "Did you mean" not in other


@pytest.mark.parametrize(
    ("word", "wrong", "named"),
    [
        ("SUM(EffectiveCost)", "SUM(EfectiveCost)", "Did you mean 'EffectiveCost' or"),
        ("SELECT charge_date,", "SELECT charged_date,", "Did you mean 'charge_date' or"),
    ],
)
def test_the_statements_of_unified_cost_are_checked(cli: Cli, configs: Path, word: str, wrong: str, named: str) -> None:
    path = configs / "unified/cost.yml"
    text = path.read_text()
    assert cli("validate", "unified/cost").code == 0
    path.write_text(text.replace(word, wrong, 1))
    line = text[: text.index(word)].count("\n") + 1
    done = cli("validate", "unified/cost")
    assert done.code != 0
    place = f"unified/cost.yml:{line}: steps[1].config.checks[0].sql"
    assert f"{place}: There is no column" in done.err, done.err
    assert named in done.err
