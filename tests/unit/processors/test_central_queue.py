"""SQL steps read the schedules and the waiting runs of their own org, as they are then."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.domain.records import changed
from convergence.domain.schedule import Timing
from convergence.engine.dispatch import dispatch
from convergence.engine.pause import pause_pipeline
from convergence.engine.prepare_run import RunRequest
from convergence.engine.schedules import edit
from convergence.ports.warehouse import Scope, Statement
from tests.bench import engine

COLUMNS = ("day", "kind", "org_slug", "id", "pipeline", "domain", "said", "parameter", "at")
PIPELINE = """
pipeline_id: "{org_slug}-acme-usage-waiting"
steps:
  - step_id: read_both
    ps_type: generic.bq_execute
    config:
      query: |
        SELECT '{date}' AS day, 'schedule' AS kind, org_slug, schedule_id AS id, pipeline, domain,
          CONCAT(cron_expression, ' ', IF(is_enabled, 'enabled', state), ' ', IFNULL(reason, '')) AS said,
          JSON_VALUE(parameters, '$.label') AS parameter, CAST(next_run_at AS STRING) AS at
        FROM organizations.org_scheduled_pipeline_runs
        UNION ALL
        SELECT '{date}', 'queued', org_slug, run_id, pipeline, domain, CONCAT(priority, ' ', waits_for),
          JSON_VALUE(parameters, '$.label'), CAST(gives_up_at AS STRING)
        FROM organizations.org_pipeline_execution_queue
    destination: {table: acme_waiting_daily_raw}
"""
LABELLED = """
pipeline_id: "{org_slug}-acme-usage-labelled"
parameters: {label: {type: string, default: none}}
steps: [{step_id: load_a, ps_type: generic.noop}]
"""


def test_a_run_reads_its_orgs_schedules_and_waiting_runs(tmp_path: Path) -> None:
    root = engine.configs(tmp_path)
    place = root / "acme" / "usage"
    (place / "schemas").mkdir(parents=True)
    fields = [{"name": name, "type": "STRING"} for name in COLUMNS]
    (place / "schemas" / "acme_waiting_daily_raw.json").write_text(json.dumps(fields))
    (place / "waiting.yml").write_text(PIPELINE)
    (place / "labelled.yml").write_text(LABELLED)

    async def main() -> None:
        async with embedded(EmbeddedOptions(data_dir=tmp_path / "data", configs_dir=root), "test") as installation:
            await engine.found(installation)
            services, worker = installation.services, installation.worker
            await services.orgs.create(replace(await services.orgs.get("org0"), slug="globex", name="Globex"))
            made, waiting = {}, {}
            for slug in ("globex", "org0"):
                schedule = edit.new_schedule(
                    services,
                    org=slug,
                    pipeline="acme/usage/labelled",
                    provider="acme",
                    timing=Timing(cron="0 2 1 1 *"),
                    name="own",
                )
                made[slug] = await edit.create(services, changed(schedule, parameters={"label": f"of {slug}"}))
                await pause_pipeline(services, slug, "acme/usage/labelled", "restated")
                asked = RunRequest(
                    org=slug, pipeline="acme/usage/labelled", parameters={"label": f"by {slug}"}, queue=True
                )
                waiting[slug] = await dispatch(services, asked)
            gone = edit.new_schedule(
                services,
                org="org0",
                pipeline="acme/usage/labelled",
                provider="acme",
                timing=Timing(cron="0 3 * * *"),
                name="x",
            )
            await edit.create(services, gone)
            await edit.delete(services, "org0", gone.schedule_id)
            await worker.start()
            for slug in ("globex", "org0"):
                run = await dispatch(services, RunRequest(org=slug, pipeline="acme/usage/waiting"))
                ended = await worker.wait(slug, run.run_id)
                assert ended.status == "completed", ended.error
                sql = "SELECT * EXCEPT (day) FROM acme_waiting_daily_raw ORDER BY kind"
                found = await services.warehouse.query(Statement(sql, scope=Scope(dataset=f"{slug}_dev")))
                queued, scheduled = ({name: row[name] for name in COLUMNS[1:]} for row in found.rows)
                assert queued == {
                    "kind": "queued",
                    "org_slug": slug,
                    "id": waiting[slug].run_id,
                    "pipeline": "acme/usage/labelled",
                    "domain": "usage",
                    "said": queued["said"],
                    "parameter": f"by {slug}",
                    "at": queued["at"],
                }
                assert queued["said"].startswith("interactive ")
                assert "the paused pipeline acme/usage/labelled: restated" in queued["said"]
                assert queued["at"][:10] == f"{waiting[slug].deadline_at:%Y-%m-%d}"
                assert scheduled == {
                    "kind": "schedule",
                    "org_slug": slug,
                    "id": made[slug].schedule_id,
                    "pipeline": "acme/usage/labelled",
                    "domain": "usage",
                    "said": "0 2 1 1 * enabled ",
                    "parameter": f"of {slug}",
                    "at": scheduled["at"],
                }
                assert scheduled["at"][5:16] == "01-01 02:00"

    asyncio.run(main())
