"""Dead letters over the API: who sees which, and what can be done about them."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from convergence.engine.dead_letter import keep_unreadable
from convergence.engine.dead_letters.feed_replays import feed_replays
from convergence.engine.dispatch_message import DispatchMessage
from convergence.ports.bus import DISPATCH, Delivery, Message
from tests.unit.entry.api.conftest import ROOT, Api, RunScenario

GOOD = "openai/seed/subscription_plans.csv"


async def failed(api: Api, org: str = "acme") -> str:
    """Let a run fail; return its dead letter."""
    run = await api.run("shop/broken", org=org)
    return f"{run['run_id']}.load_plans.0"


async def given_up(api: Api, data: bytes, attributes: dict[str, str], *, topic: str = DISPATCH) -> str:
    """Keep a message as a dead letter."""
    await keep_unreadable(api.at.services, Delivery(Message(data, attributes), "m1", 1, topic), "no room")
    (document,) = (await api.at.services.documents.query("dead_letters")).documents
    return document.path.rpartition("/")[2]


async def ended(api: Api, run_id: str, org: str = "acme") -> dict[str, Any]:
    for _ in range(600):
        found: dict[str, Any] = (await api.ask("GET", f"/pipelines/status/{org}/{run_id}", org=org)).json()
        if found["status"] in ("completed", "failed"):
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{run_id} does not end")


def test_a_dead_letter_is_found_shown_replayed_with_edits_and_closed(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        letter = await failed(api)
        (found,) = (await api.ask("GET", "/dead-letters/acme?state=open&older_than=0s", org="acme")).json()[
            "dead_letters"
        ]
        assert (found["letter_id"], found["org"], found["state"]) == (letter, "acme", "open")
        for query in ("code=nope", "pipeline=shop/open", "step=look", "newer_than=0s", "state=sent", "older_than=1d"):
            assert not (await api.ask("GET", f"/dead-letters/acme?{query}", org="acme")).json()["dead_letters"], query
        summary = (await api.ask("GET", "/dead-letters/acme/summary", org="acme")).json()
        assert (summary["total"], summary["causes"][0]["step_id"], summary["complete"]) == (1, "load_plans", True)
        shown = (await api.ask("GET", f"/dead-letters/acme/{letter}", org="acme")).json()
        assert shown["frame"].startswith("convergence.processors.openai.seed_csv:")
        assert (shown["run_status"], shown["attempts"]) == ("failed", 1)
        path = f"/dead-letters/acme/{letter}/replay"
        wrong = await api.ask("POST", path, org="acme", json={"parameters": {"fiel": "x"}})
        assert (wrong.status_code, "Did you mean 'file'?" in wrong.text) == (422, True)
        accepted = await api.ask("POST", path, org="acme", json={"parameters": {"file": GOOD}})
        assert accepted.status_code == 202
        assert (await ended(api, accepted.json()["run_id"]))["status"] == "completed"
        closed = (await api.ask("GET", f"/dead-letters/acme/{letter}", org="acme")).json()
        assert (closed["state"], closed["closed_by"], closed["changes"]["file"]["after"]) == (
            "completed",
            "engine",
            GOOD,
        )
        again = await api.ask("POST", path, org="acme")
        assert (again.status_code, "was replayed already" in again.text) == (422, True)

    run_scenario(scenario)


def test_a_replayed_dead_letter_is_not_replayed_again_nor_discarded(
    run_scenario: RunScenario,
) -> None:
    async def scenario(api: Api) -> None:
        letter = await failed(api)
        run = (await api.ask("POST", f"/dead-letters/acme/{letter}/replay", org="acme")).json()["run_id"]
        await ended(api, run)
        again = await api.ask("POST", f"/dead-letters/acme/{letter}/replay", org="acme")
        assert (again.status_code, again.json()["detail"].endswith(f"run {run} is failed")) == (422, True)
        discarded = await api.ask("POST", f"/dead-letters/acme/{letter}/discard", org="acme", json={"reason": "x"})
        assert discarded.status_code == 422
        states = (await api.ask("GET", "/dead-letters/acme", org="acme")).json()["dead_letters"]
        assert [each["state"] for each in states] == ["open", "replayed"]

    run_scenario(scenario)


def test_an_org_reaches_its_own_dead_letters_and_the_operator_all(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        theirs = await failed(api, "umbrella")
        for method, path, body in (
            ("GET", f"/dead-letters/acme/{theirs}", None),
            ("POST", f"/dead-letters/acme/{theirs}/replay", {}),
            ("POST", f"/dead-letters/acme/{theirs}/discard", {"reason": "x"}),
        ):
            answer = await api.ask(method, path, org="acme", json=body)
            assert answer.status_code == 404, path
        for path in ("/dead-letters/umbrella", "/dead-letters/_all", f"/dead-letters/_all/{theirs}"):
            assert (await api.ask("GET", path, org="acme")).status_code == 403
            assert (await api.ask("GET", path)).status_code == 401
        seen = (await api.ask("GET", "/dead-letters/_all", headers=ROOT)).json()["dead_letters"]
        assert [(each["org"], each["letter_id"]) for each in seen] == [("umbrella", theirs)]
        body = {"reason": "a test"}
        closed = await api.ask("POST", f"/dead-letters/_all/{theirs}/discard", headers=ROOT, json=body)
        assert (closed.json()["state"], closed.json()["closed_by"]) == ("discarded", "root")
        audited = [orjson.loads(each)["data"] for each in api.audited if b"discard" in each]
        assert [(each["target"], each["outcome"]) for each in audited] == [(theirs, "refused"), (theirs, "done")]

    run_scenario(scenario, orgs=("acme", "umbrella"))


def test_many_are_discarded_by_a_filter_after_a_dry_run_within_reach(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        mine, theirs = [await failed(api), await failed(api)], await failed(api, "umbrella")
        body = {"code": "step.failed", "reason": "no such file"}
        code = (await api.ask("GET", f"/dead-letters/acme/{mine[0]}", org="acme")).json()["code"]
        assert (
            await api.ask("POST", "/dead-letters/acme/discards", org="acme", json={"code": code})
        ).status_code == 422
        for path in ("/dead-letters/umbrella/discards", "/dead-letters/_all/discards"):
            assert (await api.ask("POST", path, org="acme", json=body)).status_code == 403
        path, body["code"] = "/dead-letters/acme/discards", code
        dry = (await api.ask("POST", f"{path}?dry_run=true", org="acme", json=body)).json()
        assert (dry["text"], dry["causes"][0]["count"]) == ("2 dead letters (2 runs)", 2)
        done = await api.ask("POST", path, org="acme", json=body)
        assert (done.status_code, done.json()) == (200, {"discarded": 2, "cursor": None})
        shown = (await api.ask("GET", f"/dead-letters/acme/{mine[1]}", org="acme")).json()
        assert (shown["state"], shown["closed_reason"]) == ("discarded", "no such file")
        left = (await api.ask("GET", "/dead-letters/_all?state=open", headers=ROOT)).json()["dead_letters"]
        assert [each["letter_id"] for each in left] == [theirs]
        audited = [orjson.loads(each)["data"] for each in api.audited if b"discards" in each]
        assert audited[-1]["outcome"] == "done"

    run_scenario(scenario, orgs=("acme", "umbrella"))


def test_a_message_is_sent_again_by_the_operator_with_its_bytes_and_attributes(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        asked = DispatchMessage(org="acme", pipeline="shop/open", trigger="event", idempotency_key="k1").encode()
        letter = await given_up(api, asked.data, {**asked.attributes, "googclient_schemaencoding": "JSON"})
        path = f"/dead-letters/acme/{letter}"
        assert (await api.ask("GET", path, org="acme")).json()["payload"] is None
        assert (await api.ask("POST", f"{path}/send", org="acme")).status_code == 403
        assert (await api.ask("POST", f"{path}/replay", org="acme")).status_code == 422
        assert '"k1"' in (await api.ask("GET", path, headers=ROOT)).json()["payload"]
        sent = await api.ask("POST", f"{path}/send", headers=ROOT)
        assert sent.json()["state"] == "sent"
        for _ in range(600):
            runs = (await api.ask("GET", "/pipelines/history/acme", org="acme")).json()["runs"]
            if runs:
                break
            await asyncio.sleep(0.1)
        assert [(each["pipeline"], each["trigger"]) for each in runs] == [("shop/open", "event")]
        assert (await api.ask("POST", f"{path}/send", headers=ROOT)).status_code == 422

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x" * 300_000, "262,144 of its 300,000 bytes were kept"),
        (orjson.dumps({"parameters": {"key": "[secret]"}}), "its parameters were not kept"),
    ],
)
def test_a_message_that_was_not_kept_whole_is_not_sent_again(
    run_scenario: RunScenario, data: bytes, reason: str
) -> None:
    async def scenario(api: Api) -> None:
        letter = await given_up(api, data, {"kind": "dispatch"})
        answer = await api.ask("POST", f"/dead-letters/_all/{letter}/send", headers=ROOT)
        assert (answer.status_code, reason in answer.text) == (422, True)

    run_scenario(scenario)


def test_many_are_replayed_after_a_dry_run(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        for _ in range(3):
            await failed(api)
        asked = {"pipeline": "shop/broken", "parameters": {"file": GOOD}, "per_minute": 600}
        path = "/dead-letters/acme/replays"
        planned = await api.ask("POST", f"{path}?dry_run=true", org="acme", json=asked)
        assert (planned.status_code, planned.json()["text"]) == (200, "3 runs, 3 steps, 3 slices")
        unknown = await api.ask("POST", path, org="acme", json={"code": "nope"})
        assert (unknown.status_code, "no open dead letter" in unknown.text) == (422, True)
        unbounded = await api.ask("POST", path, org="acme", json={**asked, "failures_max": 1_001})
        assert (unbounded.status_code, "less than or equal to 1000" in unbounded.text) == (422, True), unbounded.text
        assert (await api.ask("POST", "/dead-letters/_all/replays", org="acme", json=asked)).status_code == 403
        made = (await api.ask("POST", path, org="acme", json=asked)).json()
        assert (made["status"], made["total"], len(made["waiting"])) == ("running", 3, 1)
        mine = f"{path}/{made['replay_id']}"
        assert (await api.ask("POST", f"{mine}/pause", org="acme")).json()["status"] == "paused"
        assert (await api.ask("POST", f"{mine}/resume", org="acme")).json()["status"] == "running"
        await ended(api, made["waiting"][0])
        await feed_replays(api.at.services, made["replay_id"])
        assert (await api.ask("GET", mine, org="acme")).json()["first_passed"]
        assert (await api.ask("GET", path, org="acme")).json()["replays"][0]["replay_id"] == made["replay_id"]
        assert (await api.ask("GET", mine.replace("acme", "_all"), headers=ROOT)).status_code == 200
        cancelled = await api.ask("POST", f"{mine}/cancel", org="acme")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")

    run_scenario(scenario)


def test_what_only_the_operator_may_run_is_refused_to_an_orgs_replay_of_many(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask("POST", "/pipelines/run/acme/shop/operator_broken?wait=20", headers=ROOT)
        assert answer.json()["status"] == "failed", answer.text
        asked = {"pipeline": "shop/operator_broken"}
        stopped = (await api.ask("POST", "/dead-letters/acme/replays", org="acme", json=asked)).json()
        assert (stopped["status"], stopped["refused"]) == ("stopped", 1)
        assert "can only be run with the operator's key" in stopped["reason"]

    run_scenario(scenario)
