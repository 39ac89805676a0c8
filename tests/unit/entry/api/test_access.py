"""Who may do what: keys, scopes, other orgs, the operator."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.entry.api.conftest import ROOT, ROOT_KEY, Api, RunScenario
from tests.unit.entry.api.routes import names_of_acme, routes

RUN = "/pipelines/run/acme/shop/cost/daily"


def test_another_orgs_key_opens_no_route_and_no_answer_tells_what_exists(run_scenario: RunScenario) -> None:
    public = {"/health", "/ready", "/metrics", "/api/v1/validator/pipelines", "/api/v1/validator/pipelines/{provider}"}
    public |= {"/api/v1/me"}  # it tells of the key alone
    public |= {"/api/v1/validator/validate"}  # any org's key may check a file of its own
    public |= {"/api/v1/scheduler/queue"}  # it answers for the key's own org

    async def scenario(api: Api) -> None:
        real = await names_of_acme(api)
        ghost = real | {
            "webhook_id": "whk_0",
            "delivery_id": "whd_1",
            "org": "nobody_here",
            "run_id": "run_0",
            "key_id": "key_0",
            "schedule_id": "sch_" + "0" * 20,
            "backfill_id": "bf_0",
        }
        walked = 0
        for method, path in routes(api):
            if path in public:
                continue
            answers = []
            for names in (real, ghost):
                url = path.format(**names).removeprefix("/api/v1")
                body = {"schedule_id": names["schedule_id"]} if url == "/scheduler/trigger" else {}
                answer = await api.ask(method, url, org="globex", json=body if method != "GET" else None)
                answers.append((answer.status_code, answer.json()["code"]))
                assert "exist" not in answer.text
            assert answers[0] == answers[1], (method, path)
            assert answers[0][0] in {401, 403, 404}, (method, path, answers)
            walked += 1
        assert walked >= 25

    run_scenario(scenario, orgs=("acme", "globex"))


def test_a_call_without_a_key_is_refused_before_its_missing_body_is(run_scenario: RunScenario) -> None:
    public = {"/health", "/ready", "/metrics", "/api/v1/validator/pipelines", "/api/v1/validator/pipelines/{provider}"}

    async def scenario(api: Api) -> None:
        names = await names_of_acme(api)
        answers = {}
        for method, path in routes(api):
            if path not in public:
                url = path.format(**names).removeprefix("/api/v1")
                answers[f"{method} {path}"] = (await api.ask(method, url)).status_code
        assert {route: code for route, code in answers.items() if code != 401} == {}
        assert len(answers) > 50

    run_scenario(scenario)


_JSON = {"content-type": "application/json"}
_BODIES: list[dict[str, Any]] = [  # none of them fits any route
    {"json": {"surprise": 1}},
    {"json": [1]},
    {"content": b'{"a":', "headers": _JSON},
    {"content": b"[" * 3000, "headers": _JSON},
    {"content": b"\xff", "headers": _JSON},
]


async def _codes(
    api: Api, names: dict[str, str], leave_out: set[str], headers: dict[str, str]
) -> dict[tuple[str, int], tuple[int, str]]:
    """Status and code of every route that could change something, for each of the bodies."""
    found = {}
    for method, path in routes(api):
        if method == "GET" or path in leave_out:
            continue
        url = path.format(**names).removeprefix("/api/v1")
        for number, body in enumerate(_BODIES):
            sent = body | {"headers": body.get("headers", {}) | headers}
            answer = await api.ask(method, url, **sent)
            found[f"{method} {path}", number] = answer.status_code, answer.json()["code"]
    assert len(found) > 40 * len(_BODIES)
    return found


_FILES = "/api/v1/validator/validate"  # its body is a pipeline file, which any org's key may have checked


def test_the_key_is_judged_before_the_body(run_scenario: RunScenario) -> None:
    named = {"/api/v1/scheduler/trigger", "/api/v1/scheduler/schedule/{schedule_id}"}  # body or id tell whose it is

    async def scenario(api: Api) -> None:
        names = await names_of_acme(api)
        foreign = {"X-API-Key": api.keys["globex"]}
        refused = await _codes(api, names, set(), {})
        assert {key: code for key, code in refused.items() if code[0] != 401} == {}
        refused = await _codes(api, names, set(), {"X-API-Key": "cvk_wrong"})
        assert {key: code for key, code in refused.items() if code[0] != 401} == {}
        refused = await _codes(api, names, {_FILES, *named}, foreign)
        assert {key: code for key, code in refused.items() if code[0] not in {401, 403, 404}} == {}

    run_scenario(scenario, orgs=("acme", "globex"))


def test_a_body_that_no_route_reads_is_a_mistake_of_the_caller(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        answers = await _codes(api, await names_of_acme(api), {_FILES}, ROOT)
        assert {key: code for key, code in answers.items() if code != (422, "input.invalid")} == {}

    run_scenario(scenario)


def test_a_run_of_another_org_is_not_found_under_the_own_name(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run_id = (await api.run())["run_id"]
        for method, path in [
            ("GET", "status"),
            ("GET", "logs"),
            ("GET", "events"),
            ("POST", "cancel"),
            ("POST", "replay"),
        ]:
            theirs = await api.ask(method, f"/pipelines/{path}/globex/{run_id}", org="globex")
            unknown = await api.ask(method, f"/pipelines/{path}/globex/run_0", org="globex")
            assert theirs.status_code == unknown.status_code == 404
            assert theirs.json()["detail"].replace(run_id, "run_0") == unknown.json()["detail"]

    run_scenario(scenario, orgs=("acme", "globex"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-API-Key": "cvk_wrong"}, 401),
        ({"X-API-Key": ""}, 401),
        ({"X-CA-Root-Key": "wrong"}, 401),
        ({"X-CA-Root-Key": ""}, 401),
        (ROOT, 202),
        ({"X-CA-Root-Key": f" {ROOT_KEY} \t"}, 202),
    ],
)
def test_a_run_needs_a_key_that_lives(run_scenario: RunScenario, headers: dict[str, str], status: int) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask("POST", RUN, headers=headers)
        assert answer.status_code == status
        if status == 401:
            assert answer.headers["www-authenticate"] == "ApiKey"

    run_scenario(scenario)


def test_blanks_around_a_key_do_not_count_and_an_empty_header_is_none(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        for headers in (
            {"X-API-Key": f"{api.keys['acme']} \t "},
            {"X-API-Key": api.keys["acme"], "X-CA-Root-Key": " "},
        ):
            assert (await api.ask("POST", RUN, headers=headers)).status_code == 202

    run_scenario(scenario)


def test_an_empty_root_key_in_the_settings_opens_nothing(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        assert (await api.ask("GET", "/organizations", headers={"X-CA-Root-Key": ""})).status_code == 401

    run_scenario(scenario, orgs=(), CONVERGENCE_ROOT_KEY="")


def test_requires_auth_and_auth_type_of_a_pipeline_are_obeyed(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        assert (await api.ask("POST", "/pipelines/run/acme/example/hello")).status_code == 401  # the shipped example
        open_to_all = await api.ask("POST", "/pipelines/run/acme/shop/open")
        assert open_to_all.status_code == 202  # its file says requires_auth: false
        stranger = await api.ask("POST", "/pipelines/run/acme/shop/open", org="globex")
        assert stranger.status_code == 403  # if a key is sent, it must be valid for the org
        refused = await api.ask("POST", "/pipelines/run/acme/shop/operator", org="acme")
        assert (refused.status_code, refused.json()["code"]) == (403, "denied")
        assert (await api.ask("POST", "/pipelines/run/acme/shop/operator", headers=ROOT)).status_code == 202

    run_scenario(scenario, orgs=("acme", "globex"), ANONYMOUS_RUNS_PER_DAY=10)


def test_what_only_the_operator_runs_is_replayed_by_the_operator_only(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        path = "/pipelines/run/acme/shop/operator_broken"
        run = (await api.ask("POST", path, headers=ROOT, params={"wait": 20})).json()
        assert run["status"] == "failed"
        again = f"/pipelines/replay/acme/{run['run_id']}"
        refused = await api.ask("POST", again, org="acme", json={"parameters": {"date": "2026-01-01"}})
        assert (refused.status_code, refused.json()["code"]) == (403, "denied")
        assert (await api.ask("POST", again, headers=ROOT)).status_code == 202

    run_scenario(scenario)


def test_a_key_does_what_its_scopes_say(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        made = await api.ask(
            "POST", "/organizations/acme/keys", headers=ROOT, json={"name": "look", "scopes": ["read"]}
        )
        assert made.status_code == 201
        api.keys["acme"] = made.json()["api_key"]
        assert (await api.ask("GET", "/pipelines/history/acme", org="acme")).status_code == 200
        refused = await api.ask("POST", RUN, org="acme")
        assert (refused.status_code, refused.json()["detail"]) == (403, "This key lacks the scope 'run'.")
        assert (await api.ask("DELETE", "/integrations/acme/openai/cred_1", org="acme")).status_code == 403

    run_scenario(scenario)


def test_keys_are_rotated_with_an_overlap_and_revoked_at_once(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        first = (await api.ask("GET", "/organizations/acme/keys", headers=ROOT)).json()["keys"][0]
        path = f"/organizations/acme/keys/{first['key_id']}"
        new = (await api.ask("POST", f"{path}/rotate", headers=ROOT)).json()
        assert (await api.ask("GET", "/pipelines/history/acme", org="acme")).status_code == 200
        assert (await api.ask("DELETE", path, headers=ROOT)).status_code == 204
        assert (await api.ask("GET", "/pipelines/history/acme", org="acme")).status_code == 401
        api.keys["acme"] = new["api_key"]
        assert (await api.ask("GET", "/pipelines/history/acme", org="acme")).status_code == 200
        listed = (await api.ask("GET", "/organizations/acme/keys", headers=ROOT)).text
        assert new["api_key"] not in listed

    run_scenario(scenario)


def test_the_development_key_can_be_asked_for_but_not_in_production(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        answer = await api.ask("GET", "/admin/dev/api-key/acme", headers=ROOT)
        assert answer.json() == {"api_key": api.keys["acme"]}
        assert (await api.ask("GET", "/admin/dev/api-key/acme", org="acme")).status_code == 401

    run_scenario(scenario)

    async def production(api: Api) -> None:
        await api.onboard("initech")
        assert (await api.ask("GET", "/admin/dev/api-key/initech", headers=ROOT)).status_code == 404
        assert await api.installation.services.documents.get("orgs/initech/development/api_key") is None

    run_scenario(production, orgs=(), ENVIRONMENT="production")


def test_with_auth_disabled_everybody_is_the_operator(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        assert (await api.ask("GET", "/organizations")).status_code == 200

    run_scenario(scenario, DISABLE_AUTH=True)


def test_without_a_key_an_answer_names_no_org_only_that_a_key_is_needed(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        assert (await api.ask("POST", "/pipelines/run/acme/shop/open", json={})).status_code == 202
        await api.ask("POST", "/organizations/globex/suspend", headers=ROOT)
        asked = [
            f"/pipelines/run/{org}/shop/{name}" for org in ("acme", "nobody_here") for name in ("cost/daily", "open")
        ]
        asked.append("/pipelines/run/globex/shop/open")
        answers = [await api.ask("POST", path, json={}) for path in asked if path != "/pipelines/run/acme/shop/open"]
        reported = {(answer.status_code, answer.json()["detail"]) for answer in answers}
        assert reported == {(401, "Send a valid key: X-API-Key for an org, X-CA-Root-Key for the operator.")}
        assert (await api.ask("POST", "/pipelines/run/globex/shop/open", org="globex", json={})).status_code == 403

    run_scenario(scenario, orgs=("acme", "globex"), ANONYMOUS_RUNS_PER_DAY=10)
