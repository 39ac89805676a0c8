"""`convergence serve` as people start it: a real port, curl, signals."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import PATIENCE_S, ROOT, Installation, environment
from tests.e2e.serving import OPERATOR, ROOT_KEY, serving
from tests.emulators.functions import free_port

# The walkthrough calls every route of these, and none but those that need what curl cannot make.
WALKED = tuple(f"/api/v1/{area}" for area in ("scheduler/", "pipelines/backfill", "dead-letters/", "webhooks/"))
NOT_WALKED = {("POST", "/api/v1/dead-letters/{org}/{letter_id}/send")}  # a message that the bus gave up on


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "data")


@contextmanager
def sandbox() -> Iterator[tuple[str, str]]:
    """A provider on a free port: its URL and key."""
    argv = [sys.executable, "-m", "convergence.sandbox", "0"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    try:
        found: dict[str, str] = {}
        while not {"base URL", "key"} <= set(found):
            line = process.stdout.readline()
            assert line, "the sandbox has ended"
            for name in ("base URL", "key"):
                if line.startswith(name):
                    found[name] = line.removeprefix(name).strip()
        yield found["base URL"], found["key"]
    finally:
        process.kill()
        process.communicate()


def resident_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


@pytest.mark.skipif(shutil.which("curl") is None, reason="the walkthrough is made of curl, which is not installed")
def test_the_walkthrough_of_the_docs_goes_from_onboarding_to_replay(installation: Installation) -> None:
    with sandbox() as (url, key), serving(installation) as (_, api):
        given = {"API": api, "CONVERGENCE_ROOT_KEY": ROOT_KEY, "PROVIDER_KEY": key, "PROVIDER_URL": url}
        done = subprocess.run(
            ["sh", str(ROOT / "docs" / "api_walkthrough.sh")],
            capture_output=True,
            text=True,
            env=environment(**given),
            timeout=4 * PATIENCE_S,
            check=False,
        )
        answered = httpx.get(api.replace("/api/v1", "/metrics"), timeout=PATIENCE_S).text
        document = httpx.get(api.replace("/api/v1", "/openapi.json"), timeout=PATIENCE_S).json()["paths"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("== Done\n")
    assert key not in done.stdout + done.stderr
    counted = re.findall(r'method="(\w+)",route="([^"]+)",status="2\d\d"', answered)
    called = {(method, f"/api/v1{route}") for method, route in counted}  # routes are counted below their prefix
    operations = {(method.upper(), route) for route, methods in document.items() for method in methods}
    shown = {(method, route) for method, route in operations if route.startswith(WALKED)} - NOT_WALKED
    assert len(shown) > 30
    assert shown - called == set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_server_loses_no_accepted_run(installation: Installation, number: signal.Signals) -> None:
    with serving(installation) as (process, api), httpx.Client(base_url=api) as client:
        body = {"slug": "acme", "plan": "SCALE"}
        key = client.post("/organizations/onboard", json=body, headers=OPERATOR).json()["api_key"]
        for _ in range(15):
            assert client.post("/pipelines/run/acme/example/hello", headers={"X-API-Key": key}).status_code == 202
        process.send_signal(number)
        _, message = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, message.splitlines()[-1]) == (0, "Stopped.")
    installation.call("resume")
    runs = installation.json("history", "acme")["runs"]
    assert [run["status"] for run in runs] == ["completed"] * 15


def test_a_server_goes_on_with_the_runs_of_one_that_was_killed(installation: Installation) -> None:
    installation.call("org", "create", "acme")
    installation.call("run", "acme", "example/hello", "--no-wait")
    with serving(installation) as (_, api), httpx.Client(base_url=api) as client:
        key = client.get("/admin/dev/api-key/acme", headers=OPERATOR)
        assert key.status_code == 404  # the org was made by hand and has no key yet
        (run,) = client.get("/pipelines/history/acme", headers=OPERATOR).json()["runs"]
        events = client.get(f"/pipelines/events/acme/{run['run_id']}", headers=OPERATOR, timeout=PATIENCE_S)
        assert events.text.endswith("event: end\ndata: {}\n\n")
        status = client.get(f"/pipelines/status/acme/{run['run_id']}", headers=OPERATOR).json()
        assert status["status"] == "completed"
        text = httpx.get(api.replace("/api/v1", "/metrics")).text
        assert 'convergence_runs_total{status="completed"}' in text
        assert 'convergence_steps_total{status="running"}' in text


def test_a_slow_and_a_broken_client_hold_up_no_other(installation: Installation) -> None:

    with serving(installation) as (_, api):
        port = httpx.URL(api).port
        assert port is not None
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
        for each in slow:
            each.sendall(
                b"POST /api/v1/pipelines/run/acme/example/hello HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
            )
        slow[0].close()
        with httpx.Client(base_url=api, timeout=25) as client:
            assert client.get("/validator/pipelines").status_code == 200
        for each in slow[1:]:
            each.close()


def test_a_head_without_end_is_refused_and_takes_no_memory(installation: Installation) -> None:
    with serving(installation) as (process, api):
        port = httpx.URL(api).port
        assert port is not None
        before = resident_mib(process.pid)
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as endless:
            endless.sendall(b"GET / HTTP/1.1\r\nHost: x\r\na: " + b"x" * 100_000)
            assert endless.recv(100).startswith(b"HTTP/1.1 431 ")
            with suppress(ConnectionError):  # the connection ends under way
                for _ in range(300):
                    endless.sendall(b"x" * 1_000_000)
        assert resident_mib(process.pid) < before + 50


def test_clients_that_never_read_hold_up_no_other(installation: Installation) -> None:
    with serving(installation, RATE_LIMIT_ENABLED="false") as (_, api):
        port = httpx.URL(api).port
        assert port is not None
        deaf = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
        for each in deaf:
            each.setblocking(False)
            each.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        with httpx.Client(base_url=api, timeout=25) as client:
            assert client.get("/validator/pipelines").status_code == 200
        for each in deaf:
            each.close()


def test_production_does_not_start_before_every_fault_is_mended(installation: Installation) -> None:
    faults = {
        "ENVIRONMENT": "production",
        "CONVERGENCE_ROOT_KEY": "short",
        "DISABLE_AUTH": "true",
        "RATE_LIMIT_ENABLED": "no",
    }
    message = installation.call("serve", "--port", "0", code=2, **faults).stderr
    for name in ("CONVERGENCE_ROOT_KEY", "DISABLE_AUTH", "RATE_LIMIT_ENABLED", "KMS_KEY_NAME", "CORS_ORIGINS"):
        assert name in message
    assert "short" not in message


def test_for_a_program_the_address_is_one_line_of_json(installation: Installation) -> None:
    for words, keys, code in (
        (("serve", "--port", "0"), {"url", "document", "pages", "continues"}, 0),
        (("sandbox", "start", "--port", str(free_port())), {"url", "key"}, 130),
    ):
        with installation.started(*words, "--json") as process:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            assert set(said) == keys
            assert httpx.get(said.get("document") or said["url"], timeout=PATIENCE_S).status_code < 500
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, rest, "Traceback" in errors) == (code, "", False), errors


def test_a_taken_port_is_reported_in_one_line(installation: Installation) -> None:
    with serving(installation) as (_, api):
        port = str(httpx.URL(api).port)
        message = Installation(installation.data_dir.parent / "other").call("serve", "--port", port, code=2).stderr
        assert f"cannot listen on 127.0.0.1:{port}" in message


def test_a_server_that_opened_its_warehouse_at_start_ends_quietly(installation: Installation) -> None:
    with serving(installation) as (process, api), httpx.Client(base_url=api, headers=OPERATOR) as client:
        assert client.post("/organizations/onboard", json={"slug": "acme", "plan": "SCALE"}).status_code == 201
        process.kill()
        process.wait()
    assert (installation.data_dir / "warehouse" / "warehouse.duckdb.wal").stat().st_size > 0  # repeated at the start
    with serving(installation) as (process, _):
        process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, output.splitlines()) == (0, ["Stopped."])


def test_a_server_does_not_start_on_a_cut_warehouse(installation: Installation) -> None:
    with serving(installation) as (process, _):
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    file = installation.data_dir / "warehouse" / "warehouse.duckdb"
    os.truncate(file, file.stat().st_size - 1)
    message = installation.call("serve", "--port", "0", code=1).stderr
    assert re.search(r"warehouse\.duckdb (is cut|cannot be opened)", message)
    assert "Restore the data directory from a backup" in message
