"""Schedules and the queue over the API: who may see and change what."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from convergence.domain.times import to_text
from convergence.engine.schedules.sync import sync_requested
from tests.unit.entry.api.conftest import ROOT, Api, RunScenario

DAILY = {"pipeline": "shop/cost/daily", "name": "nightly", "cron_expression": "0 2 * * *", "timezone": "Europe/Berlin"}


async def added(api: Api, **more: Any) -> dict[str, Any]:
    answer = await api.ask("POST", "/scheduler/schedules/acme", org="acme", json={**DAILY, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_schedule_is_added_shown_changed_paused_and_removed(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        schedule = await added(api)
        path = f"/scheduler/schedules/acme/{schedule['schedule_id']}"
        assert (schedule["is_enabled"], schedule["cron_expression"]) == (True, "0 2 * * *")
        firings = (await api.ask("GET", f"{path}/next", org="acme", params={"count": 3})).json()["firings"]
        assert [each["local"][11:] for each in firings] == ["02:00"] * 3
        changed = {"cron_expression": "@hourly", "overlap": "queue"}
        put = f"/scheduler/schedule/{schedule['schedule_id']}"
        answer = await api.ask("PUT", put, org="acme", json=changed)
        assert answer.json()["success"] is True
        assert answer.json()["schedule"]["cron_expression"] == "0 * * * *"
        paused = (await api.ask("PUT", put, org="acme", json={"is_enabled": False})).json()["schedule"]
        assert (paused["is_enabled"], paused["next_run_at"]) == (False, None)
        assert (await api.ask("DELETE", path, org="acme")).status_code == 200
        assert (await api.ask("GET", path, org="acme")).status_code == 404
        assert (await api.ask("GET", "/scheduler/schedules/acme", org="acme")).json() == {"schedules": []}

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("cron_expression", "0 2 30 2 *", "never fires"),
        ("cron_expression", "0 2 * *", "five fields"),
        ("timezone", "localtime", "no time zone is called"),
        ("name", "default", "the schedule in the pipeline's file"),
        ("timezone", "Europe/Berln", "Did you mean 'Europe/Berlin'"),
    ],
)
def test_a_bad_cron_or_zone_is_refused_with_field_and_reason(
    run_scenario: RunScenario, field: str, value: str, reason: str
) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask("POST", "/scheduler/schedules/acme", org="acme", json={**DAILY, field: value})
        assert answer.status_code == 422
        assert field in answer.text
        assert reason in answer.json()["detail"] + answer.text
        assert "Value error" not in answer.text  # pydantic's prefix of our own messages
        if field != "name":  # a schedule keeps its name
            made = await added(api)
            put = f"/scheduler/schedule/{made['schedule_id']}"
            changed = await api.ask("PUT", put, org="acme", json={field: value})
            assert (changed.status_code, field in changed.text, reason in changed.text) == (422, True, True)

    run_scenario(scenario)


def test_another_orgs_schedule_and_one_that_is_not_there_get_the_same_403(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        schedule = await added(api)
        name = schedule["schedule_id"]
        for method, path, body in (
            ("PUT", f"/scheduler/schedule/{name}", {"is_enabled": False}),
            ("POST", "/scheduler/trigger", {"schedule_id": name}),
        ):
            answer = await api.ask(method, path, org="globex", json=body)
            missing = await api.ask(
                method,
                path.replace(name, "sch_" + "0" * 20),
                org="globex",
                json={key: "sch_" + "0" * 20 if key == "schedule_id" else value for key, value in body.items()},
            )
            assert (answer.status_code, missing.status_code) == (403, 403)
            assert answer.json()["code"] == missing.json()["code"]
            assert answer.json()["detail"].replace(name, "sch_" + "0" * 20) == missing.json()["detail"]
        refused = await api.ask("GET", f"/scheduler/schedules/acme/{name}", org="globex")
        assert refused.status_code == 403
        assert (await api.ask("POST", "/scheduler/queue/process", org="acme")).status_code == 401
        assert (await api.ask("POST", "/scheduler/queue/process", headers=ROOT)).json() == {
            "admitted": 0,
            "waiting": 0,
        }

    run_scenario(scenario, orgs=("acme", "globex"))


def test_a_triggered_schedule_runs_and_a_run_over_the_limit_waits_when_it_asks_to(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        schedule = await added(api, parameters={"note": "by schedule"})
        answer = await api.ask("POST", "/scheduler/trigger", org="acme", json={"schedule_id": schedule["schedule_id"]})
        assert answer.status_code == 202
        run = await api.installation.worker.wait("acme", answer.json()["run_id"])
        assert run.parameters["note"] == "by schedule"
        limits = {"limits": {"daily": 100, "monthly": 100, "concurrent": 1}}
        await api.ask("PATCH", "/organizations/acme", headers=ROOT, json=limits)
        api.installation.services.bus.detach()  # type: ignore[attr-defined]  # no step moves
        path = "/pipelines/run/acme/shop/cost/daily"
        assert (await api.ask("POST", path, org="acme")).status_code == 202
        assert (await api.ask("POST", path, org="acme")).status_code == 429
        waiting = await api.ask("POST", path, org="acme", params={"queue": "true"})
        assert (waiting.status_code, waiting.json()["status"]) == (202, "queued")
        queue = (await api.ask("GET", "/scheduler/queue", org="acme")).json()["queue"]
        assert [(each["org"], each["waiting"]) for each in queue] == [("acme", 1)]
        state = (await api.ask("GET", f"/pipelines/status/acme/{waiting.json()['run_id']}", org="acme")).json()
        assert state["status"] == "queued"
        assert state["steps"] == []

    run_scenario(scenario)


def test_a_secret_is_not_a_parameter_of_a_schedule(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        body = {**DAILY, "pipeline": "openai/auth/setup", "parameters": {"api_key": "sk-secret"}}
        answer = await api.ask("POST", "/scheduler/schedules/acme", org="acme", json=body)
        assert answer.status_code == 422
        assert "may not contain secrets" in answer.json()["detail"]
        assert "sk-secret" not in answer.text

    run_scenario(scenario)


def test_a_new_credential_brings_the_schedules_of_its_providers_pipelines(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        services = api.installation.services
        await sync_requested(services)
        before = (await api.ask("GET", "/scheduler/schedules/acme", org="acme")).json()["schedules"]
        assert [each["pipeline"] for each in before if each["is_enabled"]] == []
        credential_id = await services.credentials.store("acme", "openai", "sk-admin-x", name="main")
        assert await sync_requested(services) == 1
        found = (await api.ask("GET", "/scheduler/schedules/acme", org="acme")).json()["schedules"]
        enabled = {each["pipeline"]: each["credential_id"] for each in found if each["is_enabled"]}
        assert enabled == {"openai/cost/usage_cost": credential_id}
        await services.credentials.delete("acme", "openai", credential_id)
        await sync_requested(services)
        found = (await api.ask("GET", "/scheduler/schedules/acme", org="acme")).json()["schedules"]
        after = {each["pipeline"]: (each["state"], each["reason"]) for each in found}
        assert after["openai/cost/usage_cost"] == ("stopped", "its credential is gone")

    run_scenario(scenario)


def test_what_only_the_operator_may_run_an_org_can_neither_schedule_nor_trigger_nor_change(
    run_scenario: RunScenario,
) -> None:
    async def scenario(api: Api) -> None:
        body = {**DAILY, "pipeline": "shop/operator"}
        refused = await api.ask("POST", "/scheduler/schedules/acme", org="acme", json=body)
        made = await api.ask("POST", "/scheduler/schedules/acme", headers=ROOT, json=body)
        assert (refused.status_code, made.status_code) == (403, 201)
        name = made.json()["schedule_id"]
        put, trigger = f"/scheduler/schedule/{name}", {"schedule_id": name}
        changes: list[dict[str, Any]] = [{"parameters": {}}, {"cron_expression": "* * * * *"}, {"is_enabled": False}]
        for change in changes:
            assert (await api.ask("PUT", put, org="acme", json=change)).status_code == 403
        assert (await api.ask("POST", "/scheduler/trigger", org="acme", json=trigger)).status_code == 403
        assert (await api.ask("GET", "/pipelines/history/acme", org="acme")).json()["runs"] == []
        assert (await api.ask("POST", "/scheduler/trigger", headers=ROOT, json=trigger)).status_code == 202

    run_scenario(scenario)


def test_a_pause_until_a_time_ends_by_itself_and_is_not_endless(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        until = to_text(api.installation.services.clock.now() + timedelta(days=3))
        made = await added(api, paused_until=until)
        assert (made["paused_until"], made["next_run_at"] > until) == (until, True)
        put = f"/scheduler/schedule/{made['schedule_id']}"
        assert (await api.ask("PUT", put, org="acme", json={"is_enabled": True})).json()["schedule"][
            "paused_until"
        ] is None
        again = (await api.ask("PUT", put, org="acme", json={"paused_until": until})).json()["schedule"]
        assert (again["is_enabled"], again["paused_until"]) == (True, until)
        for wrong in ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-12-27T00:00:00", "1e30"):
            assert (await api.ask("PUT", put, org="acme", json={"paused_until": wrong})).status_code == 422, wrong

    run_scenario(scenario)


def test_a_refused_put_changes_nothing(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        made = await added(api)
        put, show = f"/scheduler/schedule/{made['schedule_id']}", f"/scheduler/schedules/acme/{made['schedule_id']}"
        later = to_text(api.installation.services.clock.now() + timedelta(days=3))
        bodies: list[tuple[dict[str, Any], str]] = [
            ({"cron_expression": "0 5 * * *", "paused_until": "2020-01-01T00:00:00Z"}, "a time in the future"),
            ({"is_enabled": False, "paused_until": later}, "contradicts is_enabled: false"),
        ]
        for body, reason in bodies:
            answer = await api.ask("PUT", put, org="acme", json=body)
            assert (answer.status_code, reason in answer.json()["detail"]) == (422, True)
            assert (await api.ask("GET", show, org="acme")).json() == made

    run_scenario(scenario)


def test_a_backfill_keeps_no_secret_has_a_limit_and_does_not_run_what_is_the_operators(
    run_scenario: RunScenario,
) -> None:
    async def scenario(api: Api) -> None:
        days = {"from": "2026-01-01", "to": "2026-01-02"}
        for query in ({}, {"dry_run": "true"}):
            body = {**days, "parameters": {"api_key": "sk-secret"}}
            path = "/pipelines/backfill/acme/openai/auth/setup"
            answer = await api.ask("POST", path, org="acme", json=body, params=query)
            assert answer.status_code == 422
            assert "may not contain secrets" in answer.json()["detail"]
            assert "sk-secret" not in answer.text
        many = {"from": "2020-01-01", "to": "2026-01-01"}
        refused = await api.ask("POST", "/pipelines/backfill/acme/shop/cost/daily", org="acme", json=many)
        assert (refused.status_code, "more than 1,100 slices" in refused.json()["detail"]) == (422, True)
        path = "/pipelines/backfill/acme/shop/operator"
        made = await api.ask("POST", path, headers=ROOT, json=days)
        assert ((await api.ask("POST", path, org="acme", json=days)).status_code, made.status_code) == (403, 202)
        one = f"/pipelines/backfills/acme/{made.json()['backfill_id']}"
        assert (await api.ask("POST", f"{one}/pause", org="acme")).status_code == 200
        assert (await api.ask("POST", f"{one}/resume", org="acme")).status_code == 403
        assert (await api.ask("POST", f"{one}/resume", headers=ROOT)).status_code == 200

    run_scenario(scenario)


def test_a_pipeline_is_paused_shown_in_its_schedules_and_resumed(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        schedule = await added(api)
        path = "acme/shop/cost/daily"
        answer = await api.ask("POST", f"/pipelines/pause/{path}", org="acme", json={"reason": "restated"})
        paused = {"paused": [{"pipeline": "shop/cost/daily", "reason": "restated"}]}
        assert (answer.status_code, answer.json()) == (200, paused)
        assert (await api.ask("GET", "/pipelines/paused/acme", org="acme")).json() == paused
        shown = f"/scheduler/schedules/acme/{schedule['schedule_id']}"
        reason = "its runs wait for the paused pipeline shop/cost/daily: restated"
        assert (await api.ask("GET", shown, org="acme")).json()["reason"] == reason
        refused = await api.ask("POST", f"/pipelines/run/{path}", org="acme", json={})
        assert (refused.status_code, refused.json()["code"]) == (403, "denied")
        waiting = await api.ask("POST", f"/pipelines/run/{path}", org="acme", json={}, params={"queue": "true"})
        assert waiting.status_code == 202
        assert (await api.ask("POST", f"/pipelines/resume/{path}", org="acme")).json() == {"paused": []}
        again = await api.ask("POST", f"/pipelines/resume/{path}", org="acme")
        assert (again.status_code, again.json()["code"]) == (422, "input.invalid")
        assert (await api.ask("GET", shown, org="acme")).json()["reason"] == ""

    run_scenario(scenario)


@pytest.mark.parametrize("word", ["pause", "resume"])
def test_who_may_only_run_pipelines_does_not_pause_them_nor_another_org(run_scenario: RunScenario, word: str) -> None:
    async def scenario(api: Api) -> None:
        made = {"name": "runner", "scopes": ["read", "run"]}
        key = (await api.ask("POST", "/organizations/acme/keys", headers=ROOT, json=made)).json()["api_key"]
        mine = await api.ask("POST", f"/pipelines/{word}/acme/shop/cost/daily", headers={"X-API-Key": key})
        assert (mine.status_code, mine.json()["code"]) == (403, "denied")
        other = await api.ask("POST", f"/pipelines/{word}/globex/shop/cost/daily", org="acme")
        unknown = await api.ask("POST", f"/pipelines/{word}/unknown_org/shop/cost/daily", org="acme")
        assert (other.status_code, unknown.status_code) == (403, 403)

    run_scenario(scenario)
