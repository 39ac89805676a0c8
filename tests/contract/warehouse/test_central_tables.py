"""Central tables of all orgs: a statement or a procedure of one org reads its own rows only."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from convergence.config.files.schemas.fields import with_lineage
from convergence.errors import Denied, StepFailed
from convergence.ports.warehouse import Column, ProcedureCall, Statement, TableSchema, Warehouse
from tests.contract.warehouse.routines import NOTES, SCOPE, a_routine
from tests.contract.warehouse.world import Body, a_lineage, a_load

PROFILES = TableSchema("org_profiles", with_lineage((Column("plan", "STRING"),)), partition_by=None)
QUERIES = [
    "SELECT plan FROM organizations.org_profiles WHERE x_org_slug = 'globex' OR TRUE",
    "WITH org_profiles AS (SELECT 'own' AS plan) SELECT o.plan FROM organizations.org_profiles AS o, org_profiles",
    "SELECT plan FROM organizations.org_profiles UNION DISTINCT SELECT plan FROM organizations.org_profiles",
    "SELECT (SELECT STRING_AGG(plan) FROM organizations.org_profiles) AS plan",
    "SELECT plan FROM (SELECT 'globex' AS x_org_slug UNION ALL SELECT 'acme')"
    " JOIN organizations.org_profiles USING (x_org_slug)",
    "SELECT p.plan FROM (organizations.org_profiles AS p CROSS JOIN organizations.org_profiles AS q)",
]
REFUSED = [
    "SELECT * FROM organizations.org_profiles PIVOT (COUNT(*) FOR plan IN ('plan of globex'))",
    "SELECT * FROM organizations.org_profiles UNPIVOT (value FOR name IN (plan, x_org_slug))",
    "CREATE TABLE copied CLONE organizations.org_profiles",
    "CREATE TABLE copied COPY organizations.org_profiles",
    "SELECT * FROM (organizations.org_profiles)",
]
PROCEDURE = """
  DECLARE v_plan STRING DEFAULT (SELECT STRING_AGG(plan) FROM organizations.org_profiles);
  DECLARE v_other STRING;
  DECLARE v_count INT64;
  SET v_other = (SELECT MAX(plan) FROM organizations.org_profiles WHERE x_org_slug = 'globex');
  IF EXISTS (SELECT 1 FROM organizations.org_profiles WHERE x_org_slug <> 'acme') THEN
    SET v_other = 'seen';
  END IF;
  EXECUTE IMMEDIATE FORMAT('SELECT COUNT(*) FROM `%s.organizations.org_profiles`', @@project_id) INTO v_count;
  CREATE TEMP TABLE plans AS SELECT plan FROM organizations.org_profiles;
  FOR each IN (SELECT plan FROM organizations.org_profiles) DO
    INSERT INTO notes (note, x_pipeline_run_date) VALUES (each.plan, DATE '2026-01-01');
  END FOR;
  INSERT INTO notes (note, x_pipeline_run_date) SELECT plan, DATE '2026-01-02' FROM organizations.org_profiles;
  SELECT v_plan AS plan, v_other AS other, v_count AS found, (SELECT COUNT(*) FROM plans) AS kept;
"""


async def prepare(warehouse: Warehouse) -> None:
    for org in ("acme", "globex"):
        stage = warehouse.stage("organizations", PROFILES, f"of_{org}")
        await stage.write(0, [{"plan": f"plan of {org}"}])
        lineage = a_lineage(org_slug=org, pipeline_id="", credential_id="")
        await warehouse.load(a_load(PROFILES, job_id=org, dataset="organizations", lineage=lineage, dates=None), stage)
    await warehouse.ensure_table("acme_prod", NOTES)


def test_statements_read_the_rows_of_their_org(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await prepare(warehouse)
        for sql in QUERIES:
            found = await warehouse.query(Statement(sql, scope=SCOPE))
            assert [row["plan"] for row in found.rows] == ["plan of acme"], sql

    run(body)


@pytest.mark.parametrize("sql", REFUSED)
def test_forms_that_no_subquery_replaces_are_refused_on_every_warehouse(run: Callable[[Body], None], sql: str) -> None:
    async def body(warehouse: Warehouse) -> None:
        await prepare(warehouse)
        with pytest.raises((Denied, StepFailed), match=r"can only|leave out the parentheses"):
            await warehouse.query(Statement(sql, scope=SCOPE))

    run(body)


def test_the_list_of_datasets_has_the_orgs_own(run: Callable[[Body], None]) -> None:
    source = "INFORMATION_SCHEMA.SCHEMATA"
    names = f"SELECT SCHEMATA.schema_name FROM {source}"
    loop = f"FOR r IN (SELECT schema_name AS s FROM {source}) DO SET n = n + 1; END FOR;"
    dynamic = f"EXECUTE IMMEDIATE 'SELECT COUNT(*) FROM `{source}`' INTO m;"

    async def body(warehouse: Warehouse) -> None:
        await prepare(warehouse)
        await warehouse.ensure_dataset("globex_prod")
        for sql in (
            names,
            f"SELECT s.schema_name FROM acme_prod.{source} AS s WHERE TRUE",
            names.replace(source, f"`{source}`"),
        ):
            found = await warehouse.query(Statement(sql, scope=SCOPE))
            assert [row["schema_name"] for row in found.rows] == ["acme_prod"], sql
        await warehouse.sync_routines([a_routine(f"DECLARE n, m INT64 DEFAULT 0; {loop} {dynamic} SELECT n, m;")])
        called = await warehouse.call(ProcedureCall("sp_fill", scope=SCOPE, job_id="j1"))
        assert called.rows == [{"n": 1, "m": 1}]

    run(body)


def test_procedures_read_the_rows_of_their_org(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await prepare(warehouse)
        await warehouse.sync_routines([a_routine(PROCEDURE)])
        found = await warehouse.call(ProcedureCall("sp_fill", scope=SCOPE, job_id="j1"))
        assert found.rows == [{"plan": "plan of acme", "other": None, "found": 1, "kept": 1}]
        notes = await warehouse.query(Statement("SELECT DISTINCT note, x_org_slug FROM notes", scope=SCOPE))
        assert [tuple(row.values()) for row in notes.rows] == [("plan of acme", "acme")]

    run(body)
