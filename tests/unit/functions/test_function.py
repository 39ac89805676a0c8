"""A function inside of functions-framework: its routes, its start, its API."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import functions_framework.aio
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from convergence.adapters.gcp.warehouse.client import CONNECTIONS_MAX
from convergence.bootstrap.functions import parts
from convergence.config.catalog import Catalog
from convergence.config.files.functions import read_function
from convergence.config.settings.functions import FunctionSettings
from convergence.entry.push.concurrency_limit import ConcurrencyLimit
from convergence.entry.push.function import THREADS_EACH, Function, Parts, drain_on_sigterm
from convergence.errors import Transient
from convergence.ports.bus import AUDIT_EVENTS, Message
from tests.unit.engine.conftest import Engine
from tests.unit.entry.push.conftest import envelope

ROOT = Path(__file__).parents[3]
KEY = "root-key-of-the-tests-with-more-than-32-characters"
SETTINGS = FunctionSettings(CONVERGENCE_ROOT_KEY=KEY)  # type: ignore[arg-type]  # pydantic makes a secret of it


class Deployed:
    """A function over local services, as functions-framework serves it."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.built = engine, 0
        services = replace(engine.services, catalog=Catalog(ROOT / "configs"))
        self.audited: list[Message] = []
        engine.bus.tap(AUDIT_EVENTS, self.audited.extend)

        def make() -> Any:
            self.built += 1
            return parts(read_function(ROOT / "functions" / name), SETTINGS, lambda: services, check=None)

        function = Function(make)

        async def main(_: Request) -> Function:
            return function

        framework: Any = functions_framework.aio  # the public way reads `main` from a file
        self.app = framework._create_asgi_app_with_function(main, "http", enable_id_logging=False)  # noqa: SLF001

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://f") as client:
                return await client.request(method, path, **request)

        answer: httpx.Response = self.engine.run_scenario(asked)
        return answer


@pytest.fixture
def deployed(tmp_path: Path) -> Callable[[str], Deployed]:
    return lambda name: Deployed(Engine(tmp_path), name)


def test_nothing_is_built_before_the_first_request(deployed: Callable[[str], Deployed]) -> None:
    step = deployed("step")
    assert step.built == 0
    assert step.ask("GET", "/health").status_code == 200
    assert step.built == 1


def test_a_first_call_that_fails_does_not_fail_the_start(
    deployed: Callable[[str], Deployed], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(path: str) -> Any:
        raise Transient("waiting for Firestore: connection refused")

    step = deployed("step")
    monkeypatch.setattr(step.engine.documents, "get", away)
    monkeypatch.setattr(step.engine, "org", lambda slug: asyncio.sleep(0))
    assert step.ask("GET", "/health").status_code == 200
    assert "waiting for Firestore" in caplog.text


def test_what_waits_on_threads_holds_up_no_other_request_on_a_machine_of_one_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    requests = 20
    at_once = threading.Barrier(requests * THREADS_EACH)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.gather(*(asyncio.to_thread(at_once.wait, 10) for _ in range(THREADS_EACH)))
        await Response("all were there")(scope, receive, send)

    async def warm() -> None: ...

    function = Function(lambda: Parts(concurrency=ConcurrencyLimit(requests), push=app, api=None, warm=warm))

    async def asked() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(function), base_url="http://f") as client:
            return await asyncio.gather(*(client.get("/") for _ in range(requests)))

    assert {answer.text for answer in asyncio.run(asked())} == {"all were there"}


@pytest.mark.parametrize("name", sorted(path.parent.name for path in ROOT.glob("functions/*/function.yaml")))
def test_bigquerys_client_keeps_a_connection_for_each_thread(name: str) -> None:
    assert THREADS_EACH * read_function(ROOT / "functions" / name).concurrency <= CONNECTIONS_MAX


@pytest.mark.parametrize("name", ["step", "dead_letter", "scheduler", "notifier", "webhook"])
def test_a_private_function_has_no_api(deployed: Callable[[str], Deployed], name: str) -> None:
    assert deployed(name).ask("GET", "/api/v1/validator/pipelines").status_code == 404


def test_the_dispatcher_serves_the_api_and_its_topic(deployed: Callable[[str], Deployed]) -> None:
    pipelines = deployed("dispatcher").ask("GET", "/api/v1/validator/pipelines")
    assert (pipelines.status_code, "openai/cost/usage_cost" in pipelines.text) == (200, True)


def test_the_dispatcher_takes_messages_that_ask_for_runs(deployed: Callable[[str], Deployed]) -> None:
    asked = {"org": "nobody", "pipeline": "openai/auth/setup", "trigger": "schedule", "idempotency_key": "k"}
    dispatcher = deployed("dispatcher")
    answer = dispatcher.ask("POST", "/push/dispatch", json=envelope(json.dumps(asked).encode(), publishTime=None))
    assert answer.status_code == 204


def test_the_audit_log_names_what_the_path_named_and_not_the_path(deployed: Callable[[str], Deployed]) -> None:
    dispatcher = deployed("dispatcher")
    answer = dispatcher.ask("POST", "/api/v1/organizations/acme/suspend", headers={"X-CA-Root-Key": KEY})
    assert answer.status_code == 200, answer.text
    (entry,) = (json.loads(message.data)["data"] for message in dispatcher.audited)
    assert (entry["action"], entry["target_org"], entry["target"]) == (
        "POST /organizations/{org}/suspend",
        "acme",
        "",
    )


def test_sigterm_refuses_new_requests_and_reaches_the_server_too() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:

        async def scenario() -> bool:
            concurrency = ConcurrencyLimit(1)
            drain_on_sigterm(concurrency, asyncio.get_running_loop())
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)
            return concurrency.closed

        assert asyncio.run(scenario())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]
