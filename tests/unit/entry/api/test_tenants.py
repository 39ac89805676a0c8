"""Orgs and their integrations over the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.entry.api.conftest import ROOT, Api, RunScenario

KEY = "sk-admin-" + "k" * 30


async def operator(api: Api, method: str, path: str, body: Any = None) -> Any:
    return await api.ask(method, f"/organizations{path}", headers=ROOT, json=body)


def test_an_org_is_onboarded_with_dataset_plan_and_key_once(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        body = {"slug": "globex", "name": "Globex", "plan": "STARTER", "profile": {"admin_email": "a@globex.example"}}
        made = (await operator(api, "POST", "/onboard", body)).json()
        assert made["dataset"] == "globex_dev"
        assert made["org"]["limits"] == {"daily": 6, "monthly": 180, "concurrent": 2}
        again = await operator(api, "POST", "/onboard", body)
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
        assert (await operator(api, "GET", "/globex")).json() == made["org"]
        assert [org["slug"] for org in (await operator(api, "GET", "")).json()["organizations"]] == ["acme", "globex"]

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        ({"slug": "Acme"}, "body.slug"),
        ({"slug": "x" * 51}, "body.slug"),
        ({"slug": "globex", "plan": "FREE"}, "there is no plan 'FREE'"),
        ({"slug": "globex", "paln": "STARTER"}, "body.paln: there is no such field"),
        ({"slug": "globex", "profile": {"a b": "x"}}, "profile"),
        ({}, "body.slug: Field required"),
    ],
)
def test_onboarding_names_what_is_wrong(run_scenario: RunScenario, body: dict[str, Any], reported: str) -> None:
    async def scenario(api: Api) -> None:
        answer = await operator(api, "POST", "/onboard", body)
        assert answer.status_code == 422
        assert reported in answer.json()["detail"]

    run_scenario(scenario, orgs=())


def test_of_thousands_of_unknown_fields_twenty_are_reported(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        answer = await operator(api, "POST", "/onboard", {f"field_{number}": 1 for number in range(20_000)})
        assert answer.status_code == 422
        assert len(answer.json()["errors"]) == 20
        assert len(answer.content) < 10_000

    run_scenario(scenario, orgs=())


def test_a_patch_changes_what_it_names_and_a_null_removes(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await operator(api, "PATCH", "/acme", {"profile": {"a": "1", "b": 2}})
        org = (await operator(api, "PATCH", "/acme", {"name": "Acme Inc.", "profile": {"a": None}})).json()
        assert (org["name"], org["profile"], org["plan"]) == ("Acme Inc.", {"b": 2}, "SCALE")
        org = (await operator(api, "PATCH", "/acme", {"plan": "STARTER"})).json()
        assert org["limits"]["daily"] == 6
        assert (await operator(api, "PATCH", "/nobody_here", {})).status_code == 404

    run_scenario(scenario)


def test_a_subscription_carries_a_status_and_limits_of_an_outside_plan(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        limits = {"daily": 3, "monthly": 30, "concurrent": 1}
        body = {"status": "trialing", "plan": "OUTSIDE", "limits": limits}
        org = (await operator(api, "PUT", "/acme/subscription", body)).json()
        assert (org["subscription"], org["plan"], org["limits"]) == ("TRIAL", "OUTSIDE", limits)
        wrong = await operator(api, "PUT", "/acme/subscription", {"status": "cancelled"})
        assert "body.status: Input should be 'trialing', 'active'" in wrong.json()["detail"]

    run_scenario(scenario)


def test_a_set_up_stores_the_key_and_never_shows_it(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        body = {"api_key": KEY, "api_base_url": "http://127.0.0.1:9/v1"}
        path = "/integrations/acme/open_ai/setup"
        answer = await api.ask("POST", path, org="acme", json=body, params={"wait": 1})
        assert answer.status_code == 202  # the key is stored; trying it goes on, the address does not answer
        listed = await api.ask("GET", "/integrations/acme", org="acme")
        (credential,) = listed.json()["credentials"]
        assert (credential["provider"], credential["default"]) == ("openai", True)
        run_id = answer.json()["run_id"]
        for rest in ("status", "logs"):
            assert KEY not in (await api.ask("GET", f"/pipelines/{rest}/acme/{run_id}", org="acme")).text
        await api.ask("POST", f"/pipelines/cancel/acme/{run_id}", org="acme")
        assert (await api.ask("POST", "/integrations/acme/reseal", org="acme")).json() == {"resealed": 0}
        gone = f"/integrations/acme/openai/{credential['credential_id']}"
        assert (await api.ask("DELETE", gone, org="acme")).status_code == 204
        assert (await api.ask("DELETE", gone, org="acme")).status_code == 404
        assert (await api.ask("GET", "/integrations/acme", org="acme")).json() == {"credentials": []}

    run_scenario(scenario)


def test_an_integration_with_an_unknown_provider_is_not_found(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask("POST", "/integrations/acme/opneai/validate", org="acme")
        assert answer.status_code == 404
        assert answer.json()["detail"].startswith("Unknown provider: opneai. Did you mean")

    run_scenario(scenario)


def test_a_pipelines_own_limit_a_minute_is_each_orgs_for_itself(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        path = "/pipelines/run/{}/shop/seldom"
        answers = [await api.ask("POST", path.format("acme"), org="acme", json={}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        refused = answers[-1]
        assert refused.json()["code"] == "rate_limited"
        assert "shop/seldom may run at most 2 times a minute" in refused.json()["detail"]
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert (await api.ask("POST", path.format("globex"), org="globex", json={})).status_code == 202
        planned = await api.ask("POST", path.format("acme") + "?dry_run=true", org="acme", json={})
        assert planned.status_code == 200

    run_scenario(scenario, orgs=("acme", "globex"))


def test_several_credentials_of_a_provider_live_side_by_side_under_their_names(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        path = "/integrations/acme/deepseek/setup?wait=20"
        for key, name in (("sk-one", None), ("sk-two", "team two"), ("sk-three", "team two")):
            body = {"api_key": key} | ({} if name is None else {"credential_name": name})
            answer = await api.ask("POST", path, org="acme", json=body)
            assert answer.json()["status"] == "completed", answer.text
        found = (await api.ask("GET", "/integrations/acme", org="acme")).json()["credentials"]
        assert sorted((each["name"], each["default"]) for each in found) == [("default", True), ("team two", False)]
        refused = await api.ask("POST", path, org="acme", json={"api_key": "sk", "credential_name": "../x"})
        assert (refused.status_code, "credential_name must have" in refused.json()["detail"]) == (422, True)

    run_scenario(scenario)
