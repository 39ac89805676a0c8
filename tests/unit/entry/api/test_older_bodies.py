"""Older and wider bodies, and keys that nothing reads."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.entry.api.conftest import ROOT, Api, RunScenario


def test_onboarding_takes_org_slug_and_a_status(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        body = {"org_slug": "globex", "status": "SUSPENDED"}
        made = await api.ask("POST", "/organizations/onboard", headers=ROOT, json=body)
        assert (made.status_code, made.json()["org"]["slug"], made.json()["org"]["status"]) == (
            *(201, "globex", "SUSPENDED"),
        )
        api.keys["globex"] = made.json()["api_key"]
        refused = await api.ask("POST", "/pipelines/run/globex/shop/cost/daily", org="globex")
        assert (refused.status_code, refused.json()["code"]) == (403, "denied")

    run_scenario(scenario)


@pytest.mark.parametrize("credential", ["sk-admin-" + "k" * 30, {"key": "v" * 30}])
def test_a_set_up_takes_the_older_credential(run_scenario: RunScenario, credential: Any) -> None:
    async def scenario(api: Api) -> None:
        body = {"credential": credential, "billing_export_table": "x"}
        wrong = await api.ask("POST", "/integrations/acme/GEMINI/setup", org="acme", json=body)
        assert wrong.status_code == 404
        answer = await api.ask(
            "POST", "/integrations/acme/CLAUDE/setup", org="acme", json={"credential": credential}, params={"dry": 1}
        )
        assert answer.status_code == 202, answer.text
        found = await api.ask("GET", f"/pipelines/status/acme/{answer.json()['run_id']}", org="acme")
        assert found.json()["pipeline"] == "anthropic/auth/setup"
        both = {"credential": credential, "api_key": "sk"}
        twice = await api.ask("POST", "/integrations/acme/CLAUDE/setup", org="acme", json=both)
        assert "credential means the same as api_key" in twice.json()["detail"]

    run_scenario(scenario)


def test_a_status_tells_provider_domain_parameters_and_who_started_it(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run = await api.run(json={"note": "hello"})
        assert (run["provider"], run["domain"], run["parameters"]["note"]) == ("shop", "cost", "hello")
        keys = (await api.ask("GET", "/organizations/acme/keys", headers=ROOT)).json()["keys"]
        assert run["created_by"] == keys[0]["key_id"]

    run_scenario(scenario)


def test_one_bad_procedure_does_not_stop_the_others(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        folder = api.at.services.configs_dir / "system" / "procedures"
        (folder / "sp_a_bad.sql").write_text("CREATE PROCEDURE nothing of it")
        answer = await api.ask("POST", "/procedures/sync", headers=ROOT, json={"force": True})
        assert list(answer.json()["failed"]) == ["sp_a_bad"]
        assert "sp_genai_focus_candidates_1_3" in answer.json()["synced"]
        again = await api.ask("POST", "/procedures/sync", headers=ROOT)
        assert again.json()["synced"] == []
        forced = await api.ask("POST", "/procedures/sp_genai_focus_candidates_1_3", headers=ROOT, json={"force": True})
        assert forced.json()["synced"] == ["sp_genai_focus_candidates_1_3"]

    run_scenario(scenario)


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/procedures/sync", {"forse": True}, "body.forse"),
        ("/migrations/001/execute", {"dry_run": True}, "this request does not take a body; yours has: dry_run"),
        ("/organizations/acme/suspend", {"reason": "x"}, "yours has: reason"),
        ("/pipelines/run/acme/shop/cost/daily", {"noet": "x"}, "no parameter is called 'noet'"),
    ],
)
def test_keys_that_nothing_reads_are_refused(
    run_scenario: RunScenario, path: str, body: dict[str, Any], named: str
) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask("POST", path, headers=ROOT, json=body)
        assert answer.status_code == 422
        assert named in answer.json()["detail"]
        assert (await api.ask("POST", "/organizations/acme/suspend", headers=ROOT, json={})).status_code == 200

    run_scenario(scenario)
