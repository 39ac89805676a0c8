"""Webhooks over the API: who may look and change, what is shown once, what is refused, what is audited."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from convergence.adapters.http.client import StepClient
from convergence.domain.webhook_delivery import DeliveryStatus
from convergence.engine.services import WEBHOOK_TESTS_PER_MINUTE
from convergence.engine.webhooks.send import send_test
from tests.unit.entry.api.conftest import ROOT, Api, RunScenario
from tests.unit.entry.api.receivers import URL, created, receiver


def test_a_webhook_is_created_changed_and_deleted_and_its_secret_shown_once(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        made = await created(api, events=["run.failed"], pipelines="openai/*", description="on call")
        secret, path = made.pop("secret"), f"/webhooks/acme/{made['webhook_id']}"
        assert secret.startswith("whsec_")
        (listed,) = (await api.ask("GET", "/webhooks/acme", org="acme")).json()["webhooks"]
        shown = (await api.ask("GET", path, org="acme")).json()
        assert listed == shown == made
        assert made | {"events": ["run.failed"], "pipelines": "openai/*", "enabled": True, "url": URL} == made
        off = await api.ask("PATCH", path, org="acme", json={"enabled": False})
        assert off.json() == made | {"enabled": False, "updated_at": off.json()["updated_at"]}
        rotated = (await api.ask("POST", f"{path}/rotate", org="acme", json={"overlap_hours": 1})).json()
        assert rotated["secret"] not in {secret, ""}
        assert [each["expires_at"] is None for each in rotated["secrets"]] == [True, False]
        assert (await api.ask("DELETE", path, org="acme")).status_code == 204
        for method in ("GET", "DELETE"):
            assert (await api.ask(method, path, org="acme")).status_code == 404
        assert (await api.ask("GET", "/webhooks/acme", org="acme")).json() == {"webhooks": []}
        assert all(text not in str(api.audited) for text in (secret, rotated["secret"], URL))
        actions = [orjson.loads(each)["data"] for each in api.audited]
        assert [(each["action"].partition(" ")[0], each["target"]) for each in actions] == [
            ("POST", ""),
            *((method, made["webhook_id"]) for method in ("PATCH", "POST", "DELETE", "DELETE")),
        ]

    run_scenario(scenario)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"url": "https://10.0.0.1/"}, "private address"),
    ({"url": "https://169.254.169.254/"}, "which is never an API's"),
    ({"url": "http://hooks.example.com/"}, "https://"),
    ({"url": "https://a:b@hooks.example.com/"}, "user"),
    ({"url": URL, "events": ["run.faild"]}, "Did you mean 'run.failed'"),
    ({"url": URL, "events": []}, "body.events"),
    ({"url": URL, "pipelines": "openai/*?"}, "pipelines"),
    ({"url": URL, "pipelines": "*" * 6}, "at most 5 *"),
    ({"url": URL, "description": "on\x1b[2Jcall"}, "control characters"),
    ({"url": URL, "description": "on\ncall"}, "one line"),
    ({"url": URL, "enabled": "yes"}, "body.enabled"),
    ({"url": URL, "secret": "mine"}, "no such field"),
]


def test_a_body_that_no_webhook_can_have_is_refused_by_name(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        path = f"/webhooks/acme/{(await created(api))['webhook_id']}"
        for body, says in REFUSED:
            for method, url in (("POST", "/webhooks/acme"), ("PATCH", path)):
                answer = await api.ask(method, url, org="acme", json=body)
                assert (answer.status_code, says in answer.text) == (422, True), (method, body, answer.text)
        without = await api.ask("POST", "/webhooks/acme", org="acme", json={})
        assert (without.status_code, "body.url" in without.text) == (422, True)
        assert len((await api.ask("GET", "/webhooks/acme", org="acme")).json()["webhooks"]) == 1

    run_scenario(scenario)


def test_read_looks_admin_changes_the_operator_does_both_and_another_org_neither(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        made = await created(api)
        path = f"/webhooks/acme/{made['webhook_id']}"
        for scope in ("read", "run"):
            key = await api.ask("POST", "/organizations/acme/keys", headers=ROOT, json={"scopes": [scope]})
            headers = {"X-API-Key": key.json()["api_key"]}
            looks = (await api.ask("GET", "/webhooks/acme", headers=headers)).status_code
            assert looks == (200 if scope == "read" else 403)
            for method, url in (("POST", "/webhooks/acme"), ("PATCH", path), ("DELETE", path)):
                answer = await api.ask(method, url, headers=headers, json=None if method == "DELETE" else {"url": URL})
                assert answer.status_code == 403, (scope, method)
            assert (await api.ask("POST", f"{path}/rotate", headers=headers)).status_code == 403
        assert (await api.ask("GET", path, headers=ROOT)).json()["webhook_id"] == made["webhook_id"]
        assert (await api.ask("PATCH", path, headers=ROOT, json={"description": "d"})).status_code == 200
        for org, name in (("acme", made["webhook_id"]), ("acme", "whk_0"), ("nobody_here", "whk_0")):
            foreign = await api.ask("GET", f"/webhooks/{org}/{name}", org="globex")
            assert (foreign.status_code, foreign.json()["code"]) == (403, "denied")
        own = await api.ask("GET", f"/webhooks/globex/{made['webhook_id']}", org="globex")
        assert own.status_code == 404, "an id of another org is not found under the own name"

    run_scenario(scenario, orgs=("acme", "globex"))


def documented_check() -> Callable[..., bool]:
    """Return the function that the documentation gives to receivers."""
    page = (Path(__file__).parents[4] / "docs" / "webhooks.md").read_text("utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "def is_genuine" in block]
    names: dict[str, Any] = {}
    exec(code, names)
    found: Callable[..., bool] = names["is_genuine"]
    return found


def test_a_run_is_told_to_a_receiver_that_checks_it_as_the_docs_say(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        is_genuine = documented_check()
        with receiver() as (url, came):
            made = await created(api, url=url, events=["run.completed"])
            run = await api.run()
            got = await asyncio.to_thread(came.get, timeout=30)
            header = got.headers["Convergence-Signature"]
            assert is_genuine(made["secret"], header, got.body)
            assert not is_genuine(made["secret"], header, got.body + b" ")
            assert not is_genuine("whsec_other", header, got.body)
            late = {"now": api.at.services.clock.now().timestamp() + 600}
            assert not is_genuine(made["secret"], header, got.body, **late), "an old request that is sent again"
            event = orjson.loads(got.body)
            assert (event["type"], event["data"]["run_id"]) == ("run.completed", run["run_id"])
            rotated = (await api.ask("POST", f"/webhooks/acme/{made['webhook_id']}/rotate", org="acme")).json()
            tried = (await api.ask("POST", f"/webhooks/acme/{made['webhook_id']}/test", org="acme")).json()
            got = await asyncio.to_thread(came.get, timeout=30)
            header = got.headers["Convergence-Signature"]
            assert all(is_genuine(each["secret"], header, got.body) for each in (made, rotated))
            assert (tried["status"], tried["delivery_id"]) == ("delivered", got.headers["Convergence-Delivery"])
        listed = (await api.ask("GET", "/webhooks/acme/deliveries?limit=1", org="acme")).json()
        assert listed["deliveries"][0]["event_type"] == "webhook.test"
        cursor = {"cursor": listed["cursor"], "limit": 1}
        more = (await api.ask("GET", "/webhooks/acme/deliveries", org="acme", params=cursor)).json()["deliveries"]
        assert [(each["event_type"], each["status"]) for each in more] == [("run.completed", "delivered")]
        shown = await api.ask("GET", f"/webhooks/acme/deliveries/{more[0]['delivery_id']}", org="acme")
        assert (shown.json()["event"], len(shown.json()["log"])) == (event, 1)
        foreign = await api.ask("GET", f"/webhooks/globex/deliveries/{more[0]['delivery_id']}", org="globex")
        assert foreign.status_code == 404
        counted = (await api.client.get("/metrics")).text
        assert 'convergence_webhook_deliveries_total{outcome="delivered"} 2.0' in counted
        assert made["secret"] not in str(api.audited) + shown.text + str(listed)

    run_scenario(scenario, orgs=("acme", "globex"))


def test_a_redirect_is_not_followed(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        with receiver() as (inner, came), receiver(307, inner) as (url, first):
            made = await created(api, url=url)
            tried = (await api.ask("POST", f"/webhooks/acme/{made['webhook_id']}/test", org="acme")).json()
            assert tried["last"]["error"] == "the receiver answers 307; redirects are not followed"
            assert first.qsize() == 1
            assert came.empty()

    run_scenario(scenario)


def test_a_name_that_leads_to_a_private_address_is_not_called(run_scenario: RunScenario) -> None:
    async def rebound(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async def scenario(api: Api) -> None:
        made = await created(api)
        async with StepClient(rebound) as client:
            services = replace(api.at.services, http=lambda: client)
            tried = await send_test(services, "acme", made["webhook_id"])
        assert (tried.status, tried.log[0].status_code) == (DeliveryStatus.FAILED, None)
        assert tried.log[0].error == "the host 'hooks.example.com' has a private address"

    run_scenario(scenario)


def test_what_was_stored_in_development_is_not_called_in_production(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        with receiver() as (url, came):
            made = await created(api, url=url)
            tried = await send_test(replace(api.at.services, env="prod"), "acme", made["webhook_id"])
            assert tried.log[0].error == "the address of a webhook must begin with https://"
            assert came.empty()

    run_scenario(scenario)


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "PUT"])
def test_the_list_of_deliveries_is_not_a_webhook(run_scenario: RunScenario, method: str) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask(method, "/webhooks/acme/deliveries", org="acme", json={})
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        assert "GET" in answer.headers["allow"]

    run_scenario(scenario)


SHOWN = [
    ("https://hooks.example.com/services/T0/do-not-tell", "https://hooks.example.com/…"),
    ("https://hooks.example.com:8443?key=do-not-tell", "https://hooks.example.com:8443/…"),
    ("https://hooks.example.com/", "https://hooks.example.com/"),
]


@pytest.mark.parametrize(("url", "shown"), SHOWN)
def test_who_may_only_look_sees_the_server_of_an_address(run_scenario: RunScenario, url: str, shown: str) -> None:
    async def scenario(api: Api) -> None:
        made = await created(api, url=url)
        assert made["url"] == url
        for scopes, expected in ((["read"], shown), (["read", "run"], shown), (["admin"], url)):
            key = await api.ask("POST", "/organizations/acme/keys", headers=ROOT, json={"scopes": scopes})
            headers = {"X-API-Key": key.json()["api_key"]}
            (listed,) = (await api.ask("GET", "/webhooks/acme", headers=headers)).json()["webhooks"]
            found = (await api.ask("GET", f"/webhooks/acme/{made['webhook_id']}", headers=headers)).json()
            assert (listed["url"], found["url"]) == (expected, expected)

    run_scenario(scenario)


def test_an_org_sends_so_many_test_events_in_a_minute_and_others_theirs(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        name = (await created(api, url="http://127.0.0.1:9/"))["webhook_id"]
        other = await api.ask("POST", "/webhooks/globex", org="globex", json={"url": "http://127.0.0.1:9/"})
        codes = []
        for _ in range(WEBHOOK_TESTS_PER_MINUTE + 1):
            answer = await api.ask("POST", f"/webhooks/acme/{name}/test", org="acme")
            codes.append(answer.status_code)
        assert codes == [200] * WEBHOOK_TESTS_PER_MINUTE + [429]
        assert int(answer.headers["retry-after"]) > 0
        sent = (await api.ask("GET", "/webhooks/acme/deliveries", org="acme")).json()["deliveries"]
        assert len(sent) == WEBHOOK_TESTS_PER_MINUTE
        globex = await api.ask("POST", f"/webhooks/globex/{other.json()['webhook_id']}/test", org="globex")
        assert globex.status_code == 200

    run_scenario(scenario, orgs=("acme", "globex"))
