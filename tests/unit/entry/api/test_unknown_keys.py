"""A key of a body that nothing reads is refused by its name, on every route."""

from __future__ import annotations

from tests.unit.entry.api.conftest import ROOT, Api, RunScenario
from tests.unit.entry.api.routes import names_of_acme, routes

ODD = "surprise"


def test_every_route_refuses_a_body_with_an_unknown_key(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        names, walked = await names_of_acme(api), 0
        for method, path in routes(api):
            if method == "GET" or path == "/api/v1/validator/validate":  # its body is a pipeline file, not JSON
                continue
            url = path.format(**names).removeprefix("/api/v1")
            answer = await api.ask(method, url, headers=ROOT, json={ODD: 1})
            assert (answer.status_code, answer.json()["code"]) == (422, "input.invalid"), (method, path)
            assert ODD in answer.json()["detail"], (method, path)
            walked += 1
        assert walked >= 45

    run_scenario(scenario)
