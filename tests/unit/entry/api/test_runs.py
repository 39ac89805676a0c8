"""Runs over the API: start, look, cancel, replay."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.unit.entry.api.conftest import ROOT, Api, RunScenario


def test_a_run_is_accepted_and_its_state_has_the_promised_fields(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask("POST", "/pipelines/run/acme/shop/cost/daily", org="acme", json={"note": "x"})
        assert answer.status_code == 202
        assert answer.json()["status"] == "pending"
        run_id = answer.json()["run_id"]
        await api.installation.worker.wait("acme", run_id)
        state = (await api.ask("GET", f"/pipelines/status/acme/{run_id}", org="acme")).json()
        expected = {"run_id", "status", "progress", "records_processed", "error_message", "started_at", "completed_at"}
        assert expected | {"duration_ms", "steps", "waits_for"} <= set(state)
        assert (state["status"], state["progress"], len(state["steps"])) == ("completed", 100, 2)

    run_scenario(scenario)


@pytest.mark.parametrize(
    "path", ["shop/broken", "shop//broken", "shop/cost/daily", "cloud/gcp/cost/billing", "/shop/cost/daily"]
)
def test_two_to_four_segments_find_a_pipeline_empty_ones_count_for_nothing(
    run_scenario: RunScenario, path: str
) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask("POST", f"/pipelines/run/acme/{path}", org="acme", params={"dry_run": "true"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["pipeline"] == "/".join(filter(None, path.split("/")))

    run_scenario(scenario)


@pytest.mark.parametrize(
    "path",
    [
        "..%2f..%2fetc%2fpasswd",
        "shop/%2e%2e/shop/broken",
        "%2fetc%2fpasswd",
        "shop/broken%00",
        "shop%00/x",
        "shop/cost",
    ],
)
def test_ways_out_of_the_configs_are_not_found(run_scenario: RunScenario, path: str) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask("POST", f"/pipelines/run/acme/{path}", org="acme")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    run_scenario(scenario)


def test_error_texts_stay_recognisable(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        async def message(path: str) -> str:
            return str((await api.ask("POST", f"/pipelines/run/acme/{path}", org="acme")).json()["detail"])

        assert (await message("nobody/cost/daily")).startswith("Unknown provider: nobody")
        assert (await message("shop/cost/dayly")).startswith("Pipeline not found: shop/cost/dayly. Did you mean")
        assert (await message("shop/needs_key")).startswith("openai integration not active")
        await api.ask("POST", "/organizations/acme/suspend", headers=ROOT)
        assert await message("shop/cost/daily") == "Pipeline execution not allowed for SUSPENDED organizations"
        await api.ask("POST", "/organizations/acme/resume", headers=ROOT)
        await api.ask("PUT", "/orgs/acme/subscription", headers=ROOT, json={"status": "past_due"})
        assert await message("shop/cost/daily") == "Organization subscription is SUSPENDED"

    run_scenario(scenario)


def test_an_unknown_parameter_is_refused_by_name_and_nothing_is_stored(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask("POST", "/pipelines/run/acme/shop/cost/daily", org="acme", json={"noet": "x"})
        assert answer.status_code == 422
        assert "no parameter is called 'noet'. Did you mean 'note'?" in answer.json()["detail"]
        assert await api.installation.services.documents.count("runs") == 0

    run_scenario(scenario)


@pytest.mark.parametrize("body", [b"[1]", b"{", b'{"note": NaN}', b'{"note": "\\ud800"}', b"[" * 5000, b"\xff"])
def test_a_body_that_is_not_a_json_object_is_the_callers_mistake(run_scenario: RunScenario, body: bytes) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask(
            "POST",
            "/pipelines/run/acme/shop/cost/daily",
            org="acme",
            content=body,
            headers={"content-type": "application/json"},
        )
        assert answer.status_code in {400, 422}, answer.text
        assert answer.headers["content-type"] == "application/problem+json"

    run_scenario(scenario)


@pytest.mark.parametrize("text", ["'; DROP TABLE x; --", "{org_slug} {{ secrets.openai }}", "\x00", "${7*7}"])
def test_sql_and_templates_in_a_parameter_stay_data(run_scenario: RunScenario, text: str) -> None:
    async def scenario(api: Api) -> None:
        run = await api.run(json={"note": text})
        assert run["status"] == "completed"
        stored = await api.installation.services.documents.get(f"runs/{run['run_id']}")
        assert stored is not None
        assert stored.data["parameters"]["note"] == text

    run_scenario(scenario)


def test_one_idempotency_key_is_one_run(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        async def post(note: str) -> Any:
            return await api.ask(
                "POST",
                "/pipelines/run/acme/shop/cost/daily",
                org="acme",
                json={"note": note},
                headers={"Idempotency-Key": "k-1"},
            )

        first, *others = await asyncio.gather(*(post("x") for _ in range(8)))
        assert {answer.json()["run_id"] for answer in others} == {first.json()["run_id"]}
        assert await api.installation.services.documents.count("runs") == 1
        assert (await post("y")).status_code == 422

    run_scenario(scenario)


def test_the_daily_limit_is_a_429_that_says_when_it_opens(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await api.onboard("small", "STARTER")
        for _ in range(6):
            await api.run(org="small")
        answer = await api.ask("POST", "/pipelines/run/small/shop/cost/daily", org="small")
        assert (answer.status_code, answer.json()["code"]) == (429, "quota.exceeded")
        assert answer.json()["detail"].startswith("Daily pipeline limit (6) reached")
        assert 0 < int(answer.headers["retry-after"]) <= 86_400
        quota = (await api.ask("GET", "/organizations/small/quota", org="small")).json()
        assert quota["limits"]["daily"] == {"used": 6, "limit": 6}
        assert quota["today"] == {"succeeded": 6, "failed": 0, "cancelled": 0}

    run_scenario(scenario)


def test_history_goes_on_where_the_page_before_ended(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        ids = [(await api.run())["run_id"] for _ in range(3)]
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = (await api.ask("GET", "/pipelines/history/acme", org="acme", params={"limit": 2, **cursor})).json()
            seen += [run["run_id"] for run in page["runs"]]
            if page["cursor"] is None:
                break
            cursor = {"cursor": page["cursor"]}
        assert seen == ids[::-1]
        bad = await api.ask("GET", "/pipelines/history/acme", org="acme", params={"cursor": "no"})
        assert bad.status_code == 422

    run_scenario(scenario)


def test_a_failed_run_is_replayed_and_a_finished_one_cannot_be_cancelled(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        failed = await api.run("shop/broken")
        assert (failed["status"], failed["progress"]) == ("failed", 0)
        assert "missing.csv" in failed["error_message"]
        assert failed["error_code"] == failed["steps"][0]["error_code"] == "step.failed"
        path = f"acme/{failed['run_id']}"
        body = {"parameters": {"file": "openai/seed/subscription_plans.csv"}}
        answer = await api.ask("POST", f"/pipelines/replay/{path}", org="acme", json=body)
        assert (answer.status_code, answer.json()) == (202, {"run_id": failed["run_id"], "status": "pending"})
        await api.installation.worker.wait("acme", failed["run_id"])
        assert (await api.ask("GET", f"/pipelines/status/{path}", org="acme")).json()["status"] == "completed"
        cancelled = await api.ask("POST", f"/pipelines/cancel/{path}", org="acme")
        assert cancelled.json() == {"success": False, "status": "completed"}
        again = await api.ask("POST", f"/pipelines/replay/{path}", org="acme", json={"lastest": True})
        assert (again.status_code, again.json()["errors"][0]["path"]) == (422, "body.lastest")

    run_scenario(scenario)


def test_a_replay_says_what_becomes_of_writes_that_took_effect(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        path = f"acme/{(await api.run('shop/broken'))['run_id']}"
        unknown = await api.ask("POST", f"/pipelines/replay/{path}", org="acme", json={"applied": {"nothing": "keep"}})
        assert (unknown.status_code, unknown.json()["code"]) == (422, "input.invalid")
        assert "'nothing' is not a step of this run" in unknown.json()["detail"]
        wrong = await api.ask("POST", f"/pipelines/replay/{path}", org="acme", json={"applied": {"x": "maybe"}})
        assert (wrong.status_code, wrong.json()["errors"][0]["path"]) == (422, "body.applied.x")

    run_scenario(scenario)


def test_a_run_in_flight_can_be_cancelled(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await api.installation.worker.close()  # its hints are lost from now on
        answer = await api.ask("POST", "/pipelines/run/acme/shop/cost/daily", org="acme")
        cancelled = await api.ask("POST", f"/pipelines/cancel/acme/{answer.json()['run_id']}", org="acme")
        assert cancelled.json() == {"success": True, "status": "cancelled"}

    run_scenario(scenario)


def test_several_callers_wait_for_one_run(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        def post(wait: float) -> Any:
            given = {"headers": {"Idempotency-Key": "one"}, "params": {"wait": wait}}
            return api.ask("POST", "/pipelines/run/acme/shop/cost/daily", org="acme", **given)

        answers = await asyncio.gather(post(0.001), *(post(30) for _ in range(6)))
        assert [answer.status_code for answer in answers[1:]] == [200] * 6

    run_scenario(scenario)


def test_logs_steps_transitions_and_download_agree(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run_id = (await api.run())["run_id"]

        async def get(rest: str) -> Any:
            return await api.ask("GET", f"/pipelines/logs/acme/{run_id}{rest}", org="acme")

        moves = (await get("/transitions")).json()["transitions"]
        assert [step["step_id"] for step in (await get("/steps")).json()["steps"]] == ["look", "look_again"]
        assert [entry["at"] for entry in (await get("")).json()["entries"]] == [move["at"] for move in moves]
        file = await get("/download")
        assert file.headers["content-type"] == "application/x-ndjson"
        assert [json.loads(line)["status"] for line in file.text.splitlines()] == [move["status"] for move in moves]

    run_scenario(scenario)


def test_events_stream_every_move_and_end_with_the_run(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run_id = (await api.run())["run_id"]
        text = (await api.ask("GET", f"/pipelines/events/acme/{run_id}", org="acme")).text
        events = [block.split("\n") for block in text.strip().split("\n\n")]
        assert events[-1] == ["event: end", "data: {}"]
        assert json.loads(events[-2][2].removeprefix("data: "))["status"] == "completed"
        after = {"Last-Event-ID": events[2][0].removeprefix("id: ")}
        rest = (await api.ask("GET", f"/pipelines/events/acme/{run_id}", org="acme", headers=after)).text
        assert rest.strip().split("\n\n") == text.strip().split("\n\n")[3:]

    run_scenario(scenario)
