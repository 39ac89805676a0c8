"""Event streams end with their key, and so many are open at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from pydantic import SecretStr

from tests.unit.entry.api.conftest import ROOT, Api, RunScenario
from tests.unit.entry.api.open_streams import runtime_of, when_open

RUN = "/pipelines/run/acme/shop/cost/daily"


@pytest.mark.parametrize("ends", ["revoked", "expired", "suspended", "another root key"])
def test_a_stream_ends_within_seconds_of_its_key(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    async def scenario(api: Api) -> None:
        await api.installation.worker.drain(0)  # the run stays as it is
        run_id = (await api.ask("POST", RUN, org="acme")).json()["run_id"]
        headers = ROOT if ends == "another root key" else {"X-API-Key": api.keys["acme"]}
        opened = when_open(monkeypatch)
        stream = asyncio.create_task(api.ask("GET", f"/pipelines/events/acme/{run_id}", headers=headers))
        await opened.wait()
        key = (await api.ask("GET", "/organizations/acme/keys", headers=ROOT)).json()["keys"][0]["key_id"]
        at = runtime_of(api)
        if ends == "revoked":
            await api.ask("DELETE", f"/organizations/acme/keys/{key}", headers=ROOT)
        elif ends == "expired":
            await at.keys.rotate("acme", key, overlap=timedelta(seconds=0))
        elif ends == "suspended":
            await api.ask("POST", "/organizations/acme/suspend", headers=ROOT)
        else:
            new = at.settings.model_copy(update={"CONVERGENCE_ROOT_KEY": SecretStr("another")})
            object.__setattr__(at, "settings", new)
        async with asyncio.timeout(60):
            text = (await stream).text
        assert "event: move" in text
        assert "event: end" not in text
        again = await api.ask("GET", f"/pipelines/events/acme/{run_id}", headers=headers)
        assert again.status_code == (403 if ends == "suspended" else 401)

    run_scenario(scenario)


def test_open_streams_are_limited_for_an_org_and_for_the_process(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(api: Api) -> None:
        await api.installation.worker.drain(0)
        paths = {}
        for org in ("acme", "globex", "initech"):
            run = (await api.ask("POST", f"/pipelines/run/{org}/shop/cost/daily", org=org)).json()
            paths[org] = f"/pipelines/events/{org}/{run['run_id']}"
        streams = []
        for org in ("acme", "globex"):
            opened = when_open(monkeypatch)
            streams.append(asyncio.create_task(api.ask("GET", paths[org], org=org)))
            await opened.wait()
        own = await api.ask("GET", paths["acme"], org="acme")
        others = await api.ask("GET", paths["initech"], org="initech")
        assert (own.status_code, own.json()["code"], own.headers["retry-after"]) == (429, "rate_limited", "5")
        assert (others.status_code, others.headers["retry-after"]) == (503, "5")
        for stream in streams:
            stream.cancel()  # the client goes away
        await asyncio.gather(*streams, return_exceptions=True)
        assert runtime_of(api).streams.open == 0

    run_scenario(scenario, orgs=("acme", "globex", "initech"), EVENT_STREAMS_MAX=2, EVENT_STREAMS_PER_ORG=1)


def test_a_stream_ends_after_a_while_though_its_run_goes_on(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def scenario(api: Api) -> None:
        async def sleep(_: object, seconds: float) -> None:
            slept.append(seconds)

        await api.installation.worker.drain(0)  # nobody works on the run
        run = (await api.ask("POST", "/pipelines/run/acme/shop/cost/daily", org="acme")).json()
        monkeypatch.setattr(type(api.at.services.clock), "sleep", sleep)
        streamed = await api.ask("GET", f"/pipelines/events/acme/{run['run_id']}", org="acme")
        assert "event: move" in streamed.text
        assert "event: end" not in streamed.text
        assert sum(slept) == 900

    run_scenario(scenario)
