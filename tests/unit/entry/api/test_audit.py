"""Every call that changes something is in the audit log, and each org reads its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from convergence.ports.warehouse import Statement
from tests.unit.entry.api.conftest import ROOT, Api, RunScenario
from tests.unit.entry.api.routes import names_of_acme, routes

RUN = "/pipelines/run/acme/shop/cost/daily"


def test_every_mutating_call_is_audited_refusals_too_and_no_secret_with_it(run_scenario: RunScenario) -> None:
    secret = "sk-" + "s" * 40

    async def scenario(api: Api) -> None:
        await api.run()
        await api.ask("POST", RUN, headers={"X-API-Key": "cvk_" + secret})
        await api.ask("POST", RUN, org="globex")
        await api.ask("POST", "/integrations/acme/openai/setup", org="acme", json={"api_key": secret, "oops": 1})
        await api.ask("PUT", "/organizations/acme/subscription", headers=ROOT, json={"status": "active"})
        await api.ask("GET", "/pipelines/history/acme", org="acme")
        events = [json.loads(text) for text in api.audited]
        shown = [
            (each["org"], each["data"]["actor"][:4], each["data"]["http_status"], each["data"]["outcome"])
            for each in events
        ]
        assert shown == [
            ("acme", "key_", 200, "done"),
            ("", "nobo", 401, "refused"),
            ("globex", "key_", 403, "refused"),
            ("acme", "key_", 422, "refused"),
            ("acme", "root", 200, "done"),
        ]
        assert events[0]["data"]["action"] == "POST /pipelines/run/{org}/{path}"
        assert (events[0]["data"]["client"], events[0]["data"]["target"]) == ("192.0.2.7", "shop/cost/daily")
        assert not any(
            text in b"".join(api.audited).decode() for text in (secret, api.keys["acme"], ROOT["X-CA-Root-Key"])
        )

    run_scenario(scenario, orgs=("acme", "globex"))


def test_every_route_that_may_change_something_is_audited_when_it_refuses(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        names = await names_of_acme(api)
        changing = [(method, path) for method, path in routes(api) if method not in {"GET", "HEAD"}]
        reading = {"/api/v1/query/{org}", "/api/v1/validator/validate"}
        for method, path in changing:
            api.audited.clear()
            url = path.format(**names).removeprefix("/api/v1")
            body = {"schedule_id": names["schedule_id"]} if url == "/scheduler/trigger" else {}
            answer = await api.ask(method, url, org="globex", json=body)
            told = [json.loads(text)["data"] for text in api.audited]
            expected = [(f"{method} {path.removeprefix('/api/v1')}", "refused", answer.status_code)]
            found = [(each["action"], each["outcome"], each["http_status"]) for each in told]
            assert path in reading or found == expected, (method, path, found)
        assert len(changing) > 40

    run_scenario(scenario, orgs=("acme", "globex"))


def test_an_org_reads_its_own_audit_log_and_a_stranger_makes_no_dataset(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await api.run()
        await api.ask("POST", "/pipelines/run/ghosts/shop/cost/daily")
        await api.installation.log.flush()
        rows = await query(api, "acme_dev", "SELECT action, http_status FROM org_audit_logs")
        assert ("POST /pipelines/run/{org}/{path}", 200) in [tuple(row.values()) for row in rows]
        everything = await query(api, "organizations", "SELECT DISTINCT target_org FROM org_audit_logs ORDER BY 1")
        assert [row["target_org"] for row in everything] == ["", "acme", "ghosts"]
        with pytest.raises(Exception, match="ghosts_dev"):
            await query(api, "ghosts_dev", "SELECT 1 FROM org_audit_logs")

    run_scenario(scenario)


async def query(api: Api, dataset: str, sql: str) -> list[dict[str, Any]]:
    from convergence.ports.warehouse import Scope

    return (await api.installation.services.warehouse.query(Statement(sql, scope=Scope(dataset=dataset)))).rows
