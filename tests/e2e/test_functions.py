"""Each function as a process of functions-framework, on servers that speak Google's wire."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from convergence.adapters.gcp.documents.indexes import index_file
from convergence.engine.services import INDEXES, UNINDEXED
from tests.emulators.firestore import FirestoreServer
from tests.emulators.functions import KMS_KEY, NAMES, FunctionProcess, settings
from tests.emulators.kms import KmsServer
from tests.emulators.pubsub import PubSubServer

KEY = "root-key-of-the-tests-with-more-than-32-characters"
TOPICS = {
    "dispatcher": "dispatch",
    "step": "step-ready",
    "dead_letter": "dead-letter",
    "scheduler": "tick",
    "notifier": "run-events",
    "webhook": "webhook-ready",
}


@dataclass
class Cloud:
    """Servers in this process, and the settings of functions that use them."""

    firestore: FirestoreServer
    pubsub: PubSubServer
    environment: dict[str, str]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    firestore, pubsub, kms = FirestoreServer(index_file(INDEXES, UNINDEXED)), PubSubServer(), KmsServer([KMS_KEY])
    environment = settings(
        firestore=firestore.start(), pubsub=pubsub.start(), kms=kms.start(), CONVERGENCE_ROOT_KEY=KEY
    )
    yield Cloud(firestore, pubsub, environment)
    for server in (firestore, pubsub, kms):
        server.stop()


@pytest.fixture
def instance(cloud: Cloud, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FunctionProcess]:
    process = FunctionProcess(request.param, cloud.environment, tmp_path / "log")
    process.start()
    yield process
    process.kill()


def delivery(data: bytes) -> dict[str, Any]:
    return {"message": {"data": base64.b64encode(data).decode(), "messageId": "1"}, "subscription": "s"}


def every(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("instance", names, indirect=True)


@every(*NAMES)
def test_a_function_keeps_poison_as_a_dead_letter_and_ends_when_asked(cloud: Cloud, instance: FunctionProcess) -> None:
    topic = TOPICS[instance.name]
    answer = httpx.post(f"{instance.url}/push/{topic}", content=f"poison for {topic}", timeout=60)
    assert answer.status_code == 204, answer.text + instance.output()
    assert httpx.get(f"{instance.url}/ready", timeout=60).status_code == 200
    assert httpx.post(f"{instance.url}/push/elsewhere", json=delivery(b"{}"), timeout=60).status_code == 404
    assert instance.stop() == 0
    warned = [json.loads(line) for line in instance.output().splitlines() if "kept as a dead letter" in line]
    assert [(line["severity"], line["message"].split(":")[0]) for line in warned] == [
        ("WARNING", f"a message of {topic} is kept as a dead letter")
    ]


def test_while_firestore_is_away_deliveries_return_and_the_services_say_why(cloud: Cloud, tmp_path: Path) -> None:
    body = delivery(b'{"run_id": "r1", "step_id": "s1", "epoch": 0}')
    with ExitStack() as closing:
        instances = [FunctionProcess(name, cloud.environment, tmp_path / name) for name in ("step", "scheduler")]
        for instance in instances:
            closing.callback(instance.kill)
            instance.begin()
        for instance in instances:
            instance.await_start()

        def deliver(instance: FunctionProcess) -> httpx.Response:
            return httpx.post(f"{instance.url}/push/{TOPICS[instance.name]}", json=body, timeout=120)

        threads = closing.enter_context(ThreadPoolExecutor())  # both at once: each tries for half a minute
        cloud.firestore.faults.refuse(times=1e9)
        try:
            answers = list(threads.map(deliver, instances))
        finally:
            cloud.firestore.faults.clear()
        for instance, answer in zip(instances, answers, strict=True):
            assert (answer.status_code, answer.json()["code"]) == (503, "transient")
            assert "Firestore" in answer.json()["detail"]
            assert "retry-after" in answer.headers
            assert any("Firestore" in json.loads(line)["message"] for line in instance.output().splitlines())
            assert deliver(instance).status_code == 204


@every("step")
def test_a_missing_permission_is_an_error_that_names_it(cloud: Cloud, instance: FunctionProcess) -> None:
    cloud.firestore.faults.deny("datastore.entities.get", "projects/emulated", times=1e9)
    try:
        body = delivery(b'{"run_id": "r1", "step_id": "s1", "epoch": 0}')
        answer = httpx.post(f"{instance.url}/push/step-ready", json=body, timeout=120)
    finally:
        cloud.firestore.faults.clear()
    assert answer.status_code == 500
    (line,) = [line for line in map(json.loads, instance.output().splitlines()) if line["severity"] == "ERROR"]
    assert "datastore.entities.get" in line["stack_trace"]
    assert "projects/emulated" in line["stack_trace"]
    assert line["serviceContext"]["service"] == "step"
