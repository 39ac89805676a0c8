"""The short way of the two hot requests ends as the long way through the framework does."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from convergence.entry.api.edge import BODY_MAX
from convergence.entry.api.lane import Lane
from tests.unit.entry.api.conftest import ROOT, Api, Live
from tests.unit.entry.api.test_edge import pieces

JSON = {"content-type": "application/json"}
RUN = "/pipelines/run/acme/shop/cost/daily"
STATUS = "/pipelines/status/acme/"
ASKED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a run": ("POST", RUN, {"org": "acme", "json": {"note": "x"}}),
    "a run without a body": ("POST", RUN, {"org": "acme"}),
    "a run with an idempotency key": ("POST", RUN, {"org": "acme", "json": {}, "headers": {"idempotency-key": "k1"}}),
    "an idempotency key with blanks": ("POST", RUN, {"org": "acme", "json": {}, "headers": {"idempotency-key": "a b"}}),
    "an empty segment": ("POST", "/pipelines/run/acme/shop//cost/daily", {"org": "acme", "json": {}}),
    "no path": ("POST", "/pipelines/run/acme/", {"org": "acme", "json": {}}),
    "no slash": ("POST", "/pipelines/run/acme", {"org": "acme", "json": {}}),
    "a pipeline that is not there": ("POST", "/pipelines/run/acme/shop/cost/daly", {"org": "acme", "json": {}}),
    "a way out of the folder": ("POST", "/pipelines/run/acme/%2e%2e/secrets", {"org": "acme", "json": {}}),
    "a parameter that is not there": ("POST", RUN, {"org": "acme", "json": {"nots": 1}}),
    "a body that is a list": ("POST", RUN, {"org": "acme", "json": [1]}),
    "a body that is null": ("POST", RUN, {"org": "acme", "json": None}),
    "a torn body": ("POST", RUN, {"org": "acme", "content": b'{"note": ', "headers": JSON}),
    "another content type": ("POST", RUN, {"org": "acme", "content": b"{}", "headers": {"content-type": "text/plain"}}),
    "a body without end": ("POST", RUN, {"org": "acme", "content": pieces, "headers": JSON}),
    "a body that is announced too large": ("POST", RUN, {"org": "acme", "content": b" " * (BODY_MAX + 1)}),
    "nobody": ("POST", RUN, {"json": {}}),
    "a key that never lived": ("POST", RUN, {"json": {}, "headers": {"x-api-key": "cvk_x"}}),
    "an empty key": ("POST", "/pipelines/run/acme/shop/open", {"json": {}, "headers": {"x-api-key": ""}}),
    "an empty operator's key": ("POST", RUN, {"org": "acme", "json": {}, "headers": {"x-ca-root-key": ""}}),
    "another org's key": ("POST", RUN.replace("acme", "globex"), {"org": "acme", "json": {}}),
    "what only the operator runs": ("POST", "/pipelines/run/acme/shop/operator", {"org": "acme", "json": {}}),
    "the operator": ("POST", RUN, {"json": {}, "headers": ROOT}),
    "a query": ("POST", RUN + "?dry_run=true", {"org": "acme", "json": {}}),
    "a query that is wrong": ("POST", RUN + "?wait=x", {"org": "acme", "json": {}}),
    "a status": ("GET", STATUS + "{run_id}", {"org": "acme"}),
    "a status of nothing": ("GET", STATUS + "run_x", {"org": "acme"}),
    "a status without an id": ("GET", STATUS, {"org": "acme"}),
    "a status for nobody": ("GET", STATUS + "{run_id}", {}),
    "a status with another org's key": ("GET", STATUS.replace("acme", "globex") + "{run_id}", {"org": "acme"}),
    "a status of no name": ("GET", "/pipelines/status/No-Org/run_x", {"headers": ROOT}),
    "another method": ("DELETE", STATUS + "{run_id}", {"org": "acme"}),
}


async def _ask(api: Api, what: str, run_id: str) -> dict[str, Any]:
    method, path, request = ASKED[what]
    if request.get("content") is pieces:
        request = request | {"content": pieces(17)}
    before = len(api.audited)
    answer = await api.ask(method, path.format(run_id=run_id), **request)
    audited = [orjson.loads(event)["data"] | {"request_id": ""} for event in api.audited[before:]]
    return {
        "status": answer.status_code,
        "body": re.sub(r"(run|req)_[0-9a-f]{20}", r"\1", answer.text),
        "headers": sorted(name for name in answer.headers if name != "content-length"),
        "type": answer.headers.get("content-type"),
        "audited": audited,
    }


def test_whatever_is_asked_both_ways_answer_count_and_audit_alike(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    lane = Lane.__call__

    async def long_way(self: Lane, *called: Any) -> None:
        await self._app(*called)

    async def story(api: Api) -> None:
        run_id = (await api.run())["run_id"]
        for what in ASKED:
            monkeypatch.setattr(Lane, "__call__", lane)
            short = await _ask(api, what, run_id)
            monkeypatch.setattr(Lane, "__call__", long_way)
            assert short == await _ask(api, what, run_id), what
        numbers = (await api.client.get("/metrics")).text
        routes = set(re.findall(r'convergence_http_requests_total\{.*route="([^"]*(?:run/|status/)[^"]*)"', numbers))
        assert routes == {"/pipelines/run/{org}/{path}", "/pipelines/status/{org}/{run_id}"}

    live(story, orgs=("acme", "globex"))


def test_the_short_way_is_taken_by_the_plain_requests(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    for name in ("_start", "_look"):
        way = getattr(Lane, name)

        async def noted(self: Lane, *called: Any, way: Any = way, name: str = name) -> None:
            taken.append(name)
            await way(self, *called)

        monkeypatch.setattr(Lane, name, noted)

    async def story(api: Api) -> None:
        run_id = (await api.ask("POST", RUN, org="acme", json={})).json()["run_id"]
        await api.ask("GET", STATUS + run_id, org="acme")

    live(story)
    assert taken == ["_start", "_look"]
