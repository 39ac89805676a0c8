"""Routes that belong to no org: health, metrics, the document, discovery, procedures and migrations."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import orjson

from convergence.domain.schedule import Priority
from convergence.engine.migrate import ORGS_AT_ONCE
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.queue.waiting import ensure_queue, queued, ready_write
from convergence.ports.bus import Message
from convergence.ports.documents import Create, Write
from convergence.ports.warehouse import Column, TableSchema
from tests.unit.entry.api.conftest import ROOT, Api, RunScenario


def test_health_readiness_and_metrics_answer_without_a_key(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await api.run()
        assert (await api.client.get("/health")).json() == {"status": "ok"}
        assert (await api.client.get("/ready")).status_code == 200
        text = (await api.client.get("/metrics")).text
        assert "convergence_runs_accepted_total 1.0" in text
        assert 'route="/pipelines/run/{org}/{path}",status="200"' in text
        assert "acme" not in text

    run_scenario(scenario)


def test_metrics_count_moves_retries_dead_letters_and_what_waits(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        moves = ("run.running", "run.failed", "step.retrying", "step.failed", "run.invented", "audit.call", "")
        api.at.metrics.moved([Message(b"", {"type": each}) for each in moves])
        api.at.metrics.died([Message(b"{}")])
        for data in ({"delay_ms": 42_000}, {"why": "a text about delay_ms"}):
            api.at.metrics.moved([Message(orjson.dumps({"data": data}), {"type": "run.queued"})])
        api.installation.worker.reconciling.cancel()  # type: ignore[union-attr]  # it is at work
        prepared = await prepare(api.at.services, RunRequest(org="acme", pipeline="shop/open"))
        await ensure_queue(api.at.services, "acme")
        waiting = queued(api.at.services, prepared.run, Priority.SCHEDULED, "for a test", token="t")
        writes: list[Write] = [Create(waiting.path, waiting.to_data()), ready_write("acme", ["-"])]
        await api.at.services.documents.commit(writes)
        text = (await api.client.get("/metrics")).text
        for line in (
            'convergence_runs_total{status="failed"} 1.0',
            'convergence_steps_total{status="retrying"} 1.0',
            "convergence_step_retries_total 1.0",
            "convergence_dead_letters_total 1.0",
            "convergence_queue_runs 1.0",
            "convergence_schedule_lag_seconds 0.0",
            'convergence_schedule_delay_seconds_bucket{le="30.0"} 0.0',
            'convergence_schedule_delay_seconds_bucket{le="60.0"} 1.0',
            "convergence_schedule_delay_seconds_count 1.0",
            "convergence_schedule_delay_seconds_sum 42.0",
        ):
            assert f"\n{line}\n" in text, line
        assert "invented" not in text

    run_scenario(scenario)


def test_the_document_is_openapi_3_1_and_every_error_in_it_is_a_problem(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        document = (await api.client.get("/openapi.json")).json()
        assert document["openapi"].startswith("3.1")
        operations = [each for path in document["paths"].values() for each in path.values()]
        for operation in operations:
            errors = {code: each for code, each in operation["responses"].items() if code >= "400"}
            assert {"401", "422", "429", "500"} <= set(errors)
            assert all(list(each["content"]) == ["application/problem+json"] for each in errors.values())
        assert "Problem" in document["components"]["schemas"]

    run_scenario(scenario, orgs=())


def test_discovery_lists_pipelines_and_checks_files(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        found = (await api.ask("GET", "/validator/pipelines/openai")).json()["pipelines"]
        setup = next(each for each in found if each["name"] == "openai/auth/setup")
        assert (setup["display_name"], setup["provider"], setup["domain"]) == ("OpenAI set-up", "openai", "auth")
        assert setup["parameters"][0]["type"] == "secret"
        unknown = await api.ask("GET", "/validator/pipelines/opneai")
        assert (unknown.status_code, "Did you mean 'openai'" in unknown.json()["detail"]) == (404, True)
        headers = {"content-type": "application/yaml"}
        text = b"pipeline_id: x\nprovider: p\nsteps: [{step_id: a, ps_type: generic.nop}]\n"
        bad = (await api.ask("POST", "/validator/validate", org="acme", content=text, headers=headers)).json()
        assert not bad["valid"]
        assert [each["where"] for each in bad["problems"] if "generic.nop" in each["message"]] == ["pipeline.yml:3:22"]
        good = text.replace(b"nop", b"noop").replace(b"x\n", b'"{org_slug}-x"\n', 1)
        assert (await api.ask("POST", "/validator/validate", org="acme", content=good, headers=headers)).json()["valid"]
        assert (await api.ask("POST", "/validator/validate", content=good, headers=headers)).status_code == 401

    run_scenario(scenario)


def test_procedures_are_synchronised_listed_and_removed(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        files = (await api.ask("GET", "/procedures/files", headers=ROOT)).json()["procedures"]
        synced = (await api.ask("POST", "/procedures/sync", headers=ROOT)).json()["synced"]
        assert sorted(synced) == [each["name"] for each in files]
        assert (await api.ask("POST", "/procedures/sync", headers=ROOT)).json() == {"synced": [], "failed": {}}
        path = f"/procedures/{synced[0]}"
        forced = (await api.ask("POST", path, headers=ROOT, params={"force": "true"})).json()
        assert forced == {"synced": [synced[0]], "failed": {}}
        assert (await api.ask("GET", path, headers=ROOT)).json() in files
        assert (await api.ask("DELETE", path, headers=ROOT)).status_code == 204
        for method in ("GET", "DELETE"):
            assert (await api.ask(method, path, headers=ROOT)).status_code == 404

    run_scenario(scenario, orgs=())


def test_a_migration_runs_in_every_orgs_dataset_once(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        folder = api.installation.services.configs_dir / "system" / "migrations"
        folder.mkdir()
        (folder / "001_notes.sql").write_text("CREATE TABLE notes (text STRING);")
        path = "/migrations/001_notes/execute"
        everywhere = {"acme_dev": ["001_notes"], "globex_dev": ["001_notes"]}
        rehearsed = await api.ask("POST", path, headers=ROOT, params={"dry_run": "true"})
        assert rehearsed.json() == {"dry_run": True, "migrated": everywhere, "cursor": None}
        one = (await api.ask("POST", path, headers=ROOT, params={"limit": "1"})).json()
        assert one["migrated"] == {"acme_dev": ["001_notes"]}
        rest = {"limit": "1", "cursor": one["cursor"]}
        assert (await api.ask("POST", path, headers=ROOT, params=rest)).json() == {
            "dry_run": False,
            "migrated": {"globex_dev": ["001_notes"]},
            "cursor": None,
        }
        assert (await api.ask("POST", path, headers=ROOT)).json()["migrated"] == {"acme_dev": [], "globex_dev": []}
        assert (await api.ask("POST", "/migrations/002/execute", headers=ROOT)).status_code == 404
        assert (await api.ask("POST", "/migrations/execute", headers=ROOT)).json()["migrated"] == {
            "acme_dev": [],
            "globex_dev": [],
        }
        assert (await api.ask("POST", path, org="acme")).status_code == 401

    run_scenario(scenario, orgs=("acme", "globex"))


def test_new_columns_are_added_for_some_orgs_at_a_time(run_scenario: RunScenario) -> None:
    """The shared tables come first; an org is looked at once, whatever the pages."""
    table = "shop_orders_daily_raw"

    async def scenario(api: Api) -> None:
        services = api.installation.services
        for dataset in ("acme_dev", "globex_dev"):
            await services.warehouse.ensure_table(dataset, TableSchema(table, (Column("id", "INT64"),)))
        schema = services.configs_dir / "shop" / "schemas" / f"{table}.json"
        schema.parent.mkdir(exist_ok=True)
        schema.write_text('[{"name": "id", "type": "INT64"}, {"name": "buyer", "type": "STRING"}]')
        cast("dict[str, Path]", services.schemas.paths)[table] = schema  # a deployment reads its schemas when it starts
        found, asked = list[dict[str, object]](), {"dry_run": "true", "limit": "1"}
        while True:
            page = (await api.ask("POST", "/schemas/sync", headers=ROOT, params=asked)).json()
            found.append({"orgs": page["orgs"], "added": [*page["added"]]})
            if page["cursor"] is None:
                break
            asked["cursor"] = page["cursor"]
        assert found == [
            {"orgs": 1, "added": [f"acme_dev.{table}"]},
            {"orgs": 1, "added": [f"globex_dev.{table}"]},
        ]
        assert (await api.ask("POST", "/schemas/sync", headers=ROOT, params={"limit": "101"})).status_code == 422

    run_scenario(scenario, orgs=("acme", "globex"))


def test_a_client_that_knows_no_pages_reaches_every_org(run_scenario: RunScenario) -> None:
    orgs = tuple(f"org_{number}" for number in range(ORGS_AT_ONCE + 1))

    async def scenario(api: Api) -> None:
        migrated = (await api.ask("POST", "/migrations/execute", headers=ROOT)).json()
        assert (len(migrated["migrated"]), migrated["cursor"]) == (len(orgs), None)

    run_scenario(scenario, orgs=orgs)
