"""A run reads its own org's rows of central tables, wherever a statement names them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlglot import exp, parse_one
from tests.contract.warehouse.routines import SCOPE

from convergence.adapters.googlesql.checked import check_statement
from convergence.adapters.googlesql.edits import applied
from convergence.errors import Denied, StepFailed
from convergence.ports.warehouse import Scope

READS = [
    "SELECT * FROM organizations.org_profiles",
    "SELECT p.plan FROM organizations.org_profiles AS p WHERE p.x_org_slug = 'globex'",
    "SELECT org_profiles.plan FROM `demo.organizations.org_profiles` WHERE TRUE OR x_org_slug = 'acme'",
    "SELECT * FROM `demo`.`organizations`.`org_profiles` x",
    "SELECT * FROM `\\x6frganizations`.org_profiles",
    "WITH org_profiles AS (SELECT 1 AS a) SELECT * FROM organizations.org_profiles, org_profiles AS b",
    "WITH a AS (SELECT * FROM organizations.org_profiles) SELECT * FROM a",
    "WITH organizations AS (SELECT 1 AS org_profiles) SELECT * FROM organizations.org_profiles",
    "SELECT (SELECT MAX(plan) FROM organizations.org_profiles)",
    "SELECT 1 FROM usage WHERE EXISTS (SELECT 1 FROM organizations.org_profiles WHERE x_org_slug = 'globex')",
    "SELECT plan FROM organizations.org_profiles UNION ALL SELECT plan FROM organizations.org_subscriptions AS s",
    "SELECT * FROM usage JOIN organizations.org_profiles USING (x_org_slug)",
    "SELECT * FROM usage AS u LEFT JOIN organizations.org_profiles AS p ON u.id = 1, organizations.org_api_keys",
    "SELECT * FROM (organizations.org_profiles JOIN usage USING (x_org_slug))",
    "SELECT * FROM usage CROSS JOIN (organizations.org_profiles AS p JOIN organizations.org_api_keys ON TRUE)",
    "SELECT ARRAY(SELECT plan FROM organizations.org_profiles) AS plans",
    "INSERT INTO usage (id) SELECT 1 FROM organizations.org_profiles",
    "MERGE INTO usage USING organizations.org_profiles AS p ON FALSE WHEN NOT MATCHED THEN INSERT (id) VALUES (1)",
    "DELETE FROM usage WHERE id IN (SELECT 1 FROM organizations.org_profiles)",
    "UPDATE usage SET id = 1 FROM organizations.org_profiles AS p WHERE p.plan = 'x'",
    "CREATE TEMP TABLE t AS SELECT * FROM organizations.org_profiles",
]


def foreign(sql: str) -> list[str]:
    """Return the central tables of a text that are not in a subquery of acme's rows."""
    found = []
    for table in parse_one(sql, read="bigquery").find_all(exp.Table):
        if "organizations" not in {part.name for part in table.parts[:-1]}:
            continue
        select = table.find_ancestor(exp.Select)
        kept = (
            isinstance(select, exp.Select) and isinstance(select.parent, exp.Subquery) and not select.args.get("joins")
        )
        where = select.args.get("where") if kept and isinstance(select, exp.Select) else None
        if where is None or where.this.sql("bigquery").replace("`", "") != "x_org_slug = 'acme'":
            found.append(table.sql("bigquery"))
    return found


@pytest.mark.parametrize("sql", READS)
def test_every_read_is_a_subquery_of_the_orgs_rows(sql: str) -> None:
    tree, touched = check_statement(sql, SCOPE, project="demo")
    sent = applied(sql, touched.own_rows)
    assert foreign(sql)
    assert foreign(sent) == foreign(tree.sql("bigquery")) == []
    assert ("organizations", "org_profiles") in touched.reads


def test_the_rest_of_the_text_stays() -> None:
    sql = "SELECT  p.plan -- ' of\nFROM organizations.org_profiles\tp\nWHERE p.plan = 'organizations.org_profiles'"
    _, touched = check_statement(sql, SCOPE, project="demo")
    source = "(SELECT * FROM `demo.organizations.org_profiles` WHERE x_org_slug = 'acme')"
    assert applied(sql, touched.own_rows).replace(source, "organizations.org_profiles") == sql


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM organizations.org_profiles FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()",
        "SELECT * FROM organizations.org_profiles TABLESAMPLE SYSTEM (10 PERCENT)",
        "SELECT * FROM organizations.org_profiles AS p (x_org_slug, b)",
        "SELECT * FROM usage CROSS JOIN (organizations.org_profiles) ",
        "SELECT * FROM organizations.org_profiles PIVOT (COUNT(*) FOR plan IN ('a'))",
        "SELECT * FROM organizations.`org_*`",
        "SELECT * FROM organizations.ORG_PROFILES",
        "SELECT * FROM organizations.org_other",
        "SELECT * FROM `other.organizations.org_profiles`",
        "SELECT * FROM organizations.INFORMATION_SCHEMA.TABLES",
        "CREATE VIEW v AS SELECT * FROM organizations.org_profiles",
        "CREATE TABLE t CLONE organizations.org_profiles",
        "CREATE TABLE t LIKE organizations.org_profiles",
        "CREATE TABLE t COPY organizations.org_profiles",
        "INSERT INTO organizations.org_profiles (plan) VALUES ('x')",
        "DELETE FROM organizations.org_profiles WHERE x_org_slug = 'acme'",
        "UPDATE organizations.org_profiles SET plan = 'x' WHERE x_org_slug = 'acme'",
        "MERGE INTO organizations.org_profiles USING usage ON FALSE WHEN MATCHED THEN DELETE",
        "TRUNCATE TABLE organizations.org_profiles",
        "DROP TABLE organizations.org_profiles",
        "TRUNCATE TABLE organizations.org_meta_step_logs",
        "DROP TABLE organizations.org_meta_step_logs",
        "ALTER TABLE organizations.org_meta_step_logs ADD COLUMN a INT64",
        "CREATE OR REPLACE TABLE organizations.org_meta_step_logs AS SELECT 1 AS a",
        "CREATE OR REPLACE TABLE org_meta_step_logs_written AS SELECT 1 AS a",
        "DROP TABLE acme_prod.ORG_meta_step_logs_written",
        "INSERT INTO `other.organizations.org_meta_step_logs` (run_id) VALUES ('a')",
    ],
)
def test_what_cannot_be_kept_to_the_orgs_rows_is_refused(sql: str) -> None:
    with pytest.raises((Denied, StepFailed)):
        check_statement(sql, SCOPE, project="demo")


def test_without_a_run_no_central_table_is_read() -> None:
    with pytest.raises(Denied):
        check_statement(READS[0], replace(SCOPE, lineage=None), project="demo")
    with pytest.raises(Denied):
        check_statement(READS[0], Scope(dataset="acme_prod"), project="demo")


@pytest.mark.parametrize(
    ("sql", "sent", "writes"),
    [
        (
            "INSERT INTO `demo.organizations.org_meta_dq_results` (a) VALUES ('organizations.org_meta_dq_results')",
            "INSERT INTO {own} (a) VALUES ('organizations.org_meta_dq_results')",
            True,
        ),
        ("DELETE FROM organizations.org_meta_dq_results AS r WHERE TRUE", "DELETE FROM {own} AS r WHERE TRUE", True),
        (
            "SELECT org_meta_dq_results.status FROM organizations.org_meta_dq_results",
            "SELECT org_meta_dq_results.status FROM {own}",
            False,
        ),
    ],
)
def test_a_log_of_each_orgs_own_dataset_is_meant(sql: str, sent: str, writes: bool) -> None:
    tree, touched = check_statement(sql, SCOPE, project="demo")
    log = ("acme_prod", "org_meta_dq_results")
    assert applied(sql, touched.own_rows) == sent.format(own="`demo.acme_prod.org_meta_dq_results`")
    assert (touched.writes if writes else touched.reads) == {log}
    assert "organizations" not in {table.db for table in tree.find_all(exp.Table)}


@pytest.mark.parametrize(
    ("sql", "sent"),
    [
        (
            "INSERT INTO organizations.org_meta_step_logs (run_id) VALUES ('a')",
            "INSERT INTO {own} (run_id) VALUES ('a')",
        ),
        (
            "UPDATE `demo.organizations.org_meta_step_logs` SET status = 'x' WHERE org_meta_step_logs.run_id = 'a'",
            "UPDATE {own} AS `org_meta_step_logs` SET status = 'x' WHERE org_meta_step_logs.run_id = 'a'",
        ),
        (
            "DELETE FROM organizations.org_meta_step_logs l WHERE l.run_id IN"
            " (SELECT run_id FROM organizations.org_meta_step_logs)",
            "DELETE FROM {own} l WHERE l.run_id IN (SELECT run_id FROM (SELECT * FROM (SELECT * FROM"
            " `demo.organizations.org_meta_step_logs` WHERE x_org_slug = 'acme')"
            " UNION ALL BY NAME SELECT * FROM {own}) AS `org_meta_step_logs`)",
        ),
    ],
)
def test_a_log_of_the_engine_is_written_beside_it(sql: str, sent: str) -> None:
    tree, touched = check_statement(sql, SCOPE, project="demo")
    written = ("acme_prod", "org_meta_step_logs_written")
    assert applied(sql, touched.own_rows) == sent.format(own="`demo.acme_prod.org_meta_step_logs_written`")
    assert touched.writes == {written}
    of_central = "organizations" in {table.db for table in tree.find_all(exp.Table)}
    assert of_central == (written in touched.reads) == (("organizations", "org_meta_step_logs") in touched.reads)
    with pytest.raises(Denied):
        check_statement(sql, replace(SCOPE, writable=False), project="demo")


def test_a_log_of_an_org_is_not_written_by_a_read_nor_meant_without_a_run() -> None:
    sql = "INSERT INTO organizations.org_meta_dq_results (check_name) VALUES ('a')"
    for scope in (replace(SCOPE, writable=False), replace(SCOPE, lineage=None)):
        with pytest.raises(Denied):
            check_statement(sql, scope, project="demo")
