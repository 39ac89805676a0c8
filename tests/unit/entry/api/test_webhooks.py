"""Webhooks over the API: who may look and change, what is shown once, what is refused, what is audited."""

from __future__ import annotations

from typing import Any

import orjson

from tests.unit.entry.api.conftest import ROOT, Api, RunScenario

URL = "https://hooks.example.com/convergence"


async def created(api: Api, **body: Any) -> dict[str, Any]:
    """Create a webhook of acme."""
    answer = await api.ask("POST", "/webhooks/acme", org="acme", json={"url": URL} | body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


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
    ({"url": "https://169.254.169.254/"}, "which no API has"),
    ({"url": "http://hooks.example.com/"}, "https://"),
    ({"url": "https://a:b@hooks.example.com/"}, "user"),
    ({"url": URL, "events": ["run.faild"]}, "Did you mean 'run.failed'"),
    ({"url": URL, "events": []}, "body.events"),
    ({"url": URL, "pipelines": "openai/*?"}, "pipelines"),
    ({"url": URL, "pipelines": "*" * 6}, "at most 5 times"),
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
