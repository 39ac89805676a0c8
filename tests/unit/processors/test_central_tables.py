"""SQL steps and procedures read what is known of their org in the central tables, as it is then."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.domain.hierarchy import Hierarchy, Node
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.ports.warehouse import Lineage, Parameter, Scope, Statement
from convergence.tenants.api_keys import ApiKeyStore
from convergence.tenants.hierarchies import store_hierarchy
from tests.bench import engine

PIPELINE = """
pipeline_id: "{org_slug}-acme-usage-plans"
schedule: {cron: "0 5 * * *", enabled: false}
steps:
  - step_id: transform_plans
    ps_type: generic.bq_execute
    config:
      query: |
        SELECT '{date}' AS day, p.org_slug, s.daily_limit, u.daily_used, k.name, LENGTH(k.hash_prefix) AS digits,
          (SELECT COUNT(*) FROM organizations.org_integration_credentials) AS credentials,
          (SELECT SUM(credentials) FROM organizations.org_kms_keys WHERE is_current AND key_version = 'v1') AS sealed,
          (SELECT CONCAT(c.provider, c.domain, c.schedule_cron, IF(c.schedule_enabled, '!', '?'))
           FROM organizations.org_pipeline_configs AS c WHERE c.pipeline = 'acme/usage/plans' AND c.is_valid) AS file,
          CAST(DATE_DIFF(s.period_end, s.period_start, DAY) >= 27 AS STRING) AS is_month,
          (SELECT h.path FROM organizations.org_hierarchy AS h CROSS JOIN UNNEST(h.labels) AS l
           JOIN organizations.org_hierarchy_levels AS v ON v.name = h.level
           WHERE l.key = 'cost_center' AND l.value = '4711') AS team
        FROM organizations.org_profiles AS p
        JOIN organizations.org_subscriptions AS s USING (org_slug)
        CROSS JOIN organizations.org_usage_quotas AS u
        CROSS JOIN organizations.org_api_keys AS k
    destination: {table: acme_plans_daily_raw}
  - step_id: call_notes
    ps_type: generic.procedure_executor
    depends_on: transform_plans
    config: {procedure: {name: sp_note_plans, dataset: organizations}}
"""
PROCEDURE = """CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_note_plans()
BEGIN
  DECLARE v_plan STRING DEFAULT (SELECT STRING_AGG(CONCAT(org_slug, plan)) FROM organizations.org_profiles);
  INSERT INTO organizations.org_meta_dq_results (check_name, check_type, table_name, status, on_fail, step_id,
    rows_checked, rows_failed, checked_at, x_pipeline_run_date)
  VALUES ('plan', 'custom_sql', 'org_profiles', 'passed', 'warn', 'call_notes', 1, 0, CURRENT_TIMESTAMP(),
    CURRENT_DATE());
  INSERT INTO organizations.org_meta_step_logs (run_id, step_id, status) VALUES (v_plan, 'note', 'started');
  UPDATE organizations.org_meta_step_logs SET status = 'noted' WHERE step_id IN ('note', 'transform_plans');
  INSERT INTO acme_plans_daily_raw (org_slug, name, x_pipeline_run_date)
  VALUES ('procedure', v_plan, CURRENT_DATE());
END;
"""
TEAM = (
    Node(node_id="eng", name="Engineering", level="department"),
    Node(node_id="ml", name="Models", level="team", parent_id="eng", labels={"cost_center": "4711"}),
)
FILE = "acmeusage0 5 * * *?"
NOTHING = (None,) * 6
KINDS = {"daily_limit": "INT64", "daily_used": "INT64", "digits": "INT64", "credentials": "INT64", "sealed": "INT64"}
COLUMNS = (
    *("day", "org_slug", "daily_limit", "daily_used", "name", "digits", "credentials", "sealed", "file", "is_month"),
    "team",
)


def test_a_run_reads_its_orgs_documents_as_they_are(tmp_path: Path) -> None:
    root = engine.configs(tmp_path)
    place = root / "acme" / "usage"
    (place / "schemas").mkdir(parents=True)
    fields = [{"name": name, "type": KINDS.get(name, "STRING")} for name in COLUMNS]
    (place / "schemas" / "acme_plans_daily_raw.json").write_text(json.dumps(fields))
    (place / "plans.yml").write_text(PIPELINE)
    (root / "system" / "procedures").mkdir(parents=True, exist_ok=True)
    (root / "system" / "procedures" / "sp_note_plans.sql").write_text(PROCEDURE)
    found: dict[str, list[tuple[object, ...]]] = {}

    async def main() -> None:
        async with embedded(EmbeddedOptions(data_dir=tmp_path / "data", configs_dir=root), "test") as installation:
            await engine.found(installation)
            services, worker = installation.services, installation.worker
            org = await services.orgs.get("org0")
            await services.orgs.create(replace(org, slug="globex", name="Globex", plan="secret"))
            keys = ApiKeyStore(services.documents, services.clock)
            for slug in ("globex", "org0"):
                await keys.create(slug, name=f"key of {slug}")
            await store_hierarchy(services.documents, "org0", Hierarchy(TEAM))
            await services.credentials.store("org0", "openai", "k3y", name="default")
            await services.credentials.store("org0", "openai", "k3y", name="second")
            await services.orgs.change("org0", lambda org: replace(org, plan="pro"), token="t")
            await worker.start()
            for slug in ("globex", "org0"):
                run = await dispatch(services, RunRequest(org=slug, pipeline="acme/usage/plans"))
                ended = await worker.wait(slug, run.run_id)
                assert ended.status == "completed", ended.error
                logged = "SELECT x_org_slug FROM org_meta_dq_results"
                logs = await services.warehouse.query(Statement(logged, scope=Scope(dataset=f"{slug}_dev")))
                assert logs.rows == [{"x_org_slug": slug}]
                noted = "SELECT run_id, x_run_id FROM organizations.org_meta_step_logs WHERE status = 'noted'"
                lineage = Lineage(
                    org_slug=slug, pipeline_id="", credential_id="", run_id="", ingested_at=services.clock.now()
                )
                notes = await services.warehouse.query(
                    Statement(noted, scope=Scope(dataset=f"{slug}_dev", lineage=lineage))
                )
                plan = "globexsecret" if slug == "globex" else "org0pro"
                assert notes.rows == [{"run_id": plan, "x_run_id": run.run_id}]
                sql = (
                    "SELECT org_slug, daily_used, name, digits, credentials, sealed, file, is_month, team"
                    " FROM acme_plans_daily_raw ORDER BY 1"
                )
                rows = await services.warehouse.query(Statement(sql, scope=Scope(dataset=f"{slug}_dev")))
                found[slug] = [tuple(row.values()) for row in rows.rows]

    asyncio.run(main())
    assert found["globex"] == [
        ("globex", 1, "key of globex", 8, 0, None, FILE, "true", None),
        ("procedure", None, "globexsecret", *NOTHING),
    ]
    assert found["org0"] == [
        ("org0", 1, "key of org0", 8, 2, 2, FILE, "true", "Engineering / Models"),
        ("procedure", None, "org0pro", *NOTHING),
    ]


RUNS = """
pipeline_id: "{org_slug}-acme-usage-counted"
parameters: {note: {type: string, default: x}, key: {type: secret}}
steps:
  - {step_id: count_rows, ps_type: generic.bq_execute, config: {query: "SELECT 1 AS n UNION ALL SELECT 2"},
     destination: {table: acme_numbers_raw}}
  - {step_id: fail_at_last, ps_type: generic.bq_execute, depends_on: count_rows, config: {query: "SELECT ERROR('no')"}}
"""
LOGGED = """
SELECT org_slug, provider, domain, pipeline, status, started_at, completed_at,
  MAX(records_processed) OVER (PARTITION BY run_id) AS records_processed, error_message,
  parameters, created_by, created_at
FROM organizations.org_meta_pipeline_runs WHERE run_id = @run
QUALIFY status <> 'counted' AND ROW_NUMBER() OVER (PARTITION BY run_id, status = 'counted' ORDER BY event_time DESC) = 1
"""


def test_the_last_row_of_a_run_says_what_the_run_says(tmp_path: Path) -> None:
    root = engine.configs(tmp_path)
    place = root / "acme" / "usage"
    (place / "schemas").mkdir(parents=True)
    (place / "schemas" / "acme_numbers_raw.json").write_text('[{"name": "n", "type": "INT64"}]')
    (place / "counted.yml").write_text(RUNS)

    async def main() -> None:
        async with embedded(EmbeddedOptions(data_dir=tmp_path / "data", configs_dir=root), "test") as installation:
            await engine.found(installation)
            services, worker = installation.services, installation.worker
            await worker.start()
            parameters = {"note": "it's", "key": "s3cret", "date": "2026-11-10"}
            request = RunRequest(org="org0", pipeline="acme/usage/counted", parameters=parameters, created_by="key_1")
            run = await dispatch(services, request)
            ended = await worker.wait("org0", run.run_id)
            await installation.log.flush()
            given = {"run": Parameter("STRING", run.run_id)}
            scope = Scope(dataset="org0_dev", readable=("organizations",))
            (row,) = (await services.warehouse.query(Statement(LOGGED, given, scope=scope))).rows
        parameters = row["parameters"]
        assert (parameters["note"], parameters["date"]) == ("it's", "2026-11-10")
        assert "s3cret" not in str(row)
        assert ended.error is not None
        assert {name: value for name, value in row.items() if name != "parameters"} == {
            "org_slug": "org0",
            "provider": "acme",
            "domain": "usage",
            "pipeline": "acme/usage/counted",
            "status": "failed",
            "started_at": ended.started_at,
            "completed_at": ended.finished_at,
            "records_processed": 2,
            "error_message": ended.error["message"],
            "created_by": "key_1",
            "created_at": ended.created_at,
        }

    asyncio.run(main())
