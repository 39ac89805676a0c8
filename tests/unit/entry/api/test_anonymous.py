"""Runs without a key: only where the operator allows them, and never at an org's expense."""

from __future__ import annotations

from tests.unit.entry.api.conftest import ROOT, Api, RunScenario

OPEN = "/pipelines/run/acme/shop/open"


def test_a_pipeline_without_auth_needs_a_key_until_the_operator_says_otherwise(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        refused = await api.ask("POST", OPEN)
        assert (refused.status_code, "ANONYMOUS_RUNS_PER_DAY" in refused.json()["detail"]) == (401, True)
        ghost = await api.ask("POST", OPEN.replace("acme", "nobody_here"))
        assert ghost.json()["detail"] == refused.json()["detail"]
        assert (await api.ask("POST", OPEN, org="acme")).status_code == 202

    run_scenario(scenario)


def test_runs_without_a_key_take_nothing_from_the_orgs_quota(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await api.onboard("starter", plan="STARTER")
        before = (await api.ask("GET", "/organizations/starter/quota", headers=ROOT)).json()["limits"]
        path = "/pipelines/run/starter/shop/open"
        answers = [await api.ask("POST", path, params={"wait": 20}) for _ in range(9)]
        assert [answer.status_code for answer in answers] == [200] * 8 + [429]
        assert answers[-1].json()["code"] == "quota.exceeded"
        assert (await api.ask("GET", "/organizations/starter/quota", headers=ROOT)).json()["limits"] == before
        assert (await api.ask("POST", path, org="starter", params={"wait": 20})).status_code == 200
        after = (await api.ask("GET", "/organizations/starter/quota", headers=ROOT)).json()["limits"]
        assert after["daily"]["used"] == before["daily"]["used"] + 1

    run_scenario(scenario, ANONYMOUS_RUNS_PER_DAY=8)


def test_a_run_without_a_key_gives_its_slot_back(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run = (await api.ask("POST", OPEN, params={"wait": 20})).json()
        assert run["status"] == "completed"
        usage = await api.installation.services.documents.get("orgs/acme/usage/anonymous")
        assert usage is not None
        assert (usage.data["active"], usage.data["day_count"]) == ({}, 1)

    run_scenario(scenario, ANONYMOUS_RUNS_PER_DAY=8)


def test_a_stranger_cannot_take_the_run_of_an_orgs_idempotency_key(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        named = {"Idempotency-Key": "monday"}
        theirs = [(await api.ask("POST", OPEN, headers=named)).json()["run_id"] for _ in range(2)]
        own = (await api.ask("POST", OPEN, org="acme", headers=named)).json()["run_id"]
        assert theirs[0] == theirs[1] != own

    run_scenario(scenario, ANONYMOUS_RUNS_PER_DAY=8)
