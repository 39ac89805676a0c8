"""Central tables of all orgs: a statement or a procedure of one org reads its own rows only."""

from __future__ import annotations

from collections.abc import Callable

from convergence.config.files.schemas.fields import with_lineage
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


def test_procedures_read_the_rows_of_their_org(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        await prepare(warehouse)
        await warehouse.sync_routines([a_routine(PROCEDURE)])
        found = await warehouse.call(ProcedureCall("sp_fill", scope=SCOPE, job_id="j1"))
        assert found.rows == [{"plan": "plan of acme", "other": None, "found": 1, "kept": 1}]
        notes = await warehouse.query(Statement("SELECT DISTINCT note, x_org_slug FROM notes", scope=SCOPE))
        assert [tuple(row.values()) for row in notes.rows] == [("plan of acme", "acme")]

    run(body)
