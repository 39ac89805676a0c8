"""Each function as a process of functions-framework, on servers that speak Google's wire."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

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
}


@dataclass
class Cloud:
    """Servers in this process, and the settings of functions that use them."""

    firestore: FirestoreServer
    pubsub: PubSubServer
    environment: dict[str, str]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    firestore, pubsub, kms = FirestoreServer(), PubSubServer(), KmsServer([KMS_KEY])
    environment = settings(firestore=firestore.start(), pubsub=pubsub.start(), kms=kms.start(), CA_ROOT_API_KEY=KEY)
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
def test_a_function_keeps_poison_as_a_letter_and_ends_when_told(cloud: Cloud, instance: FunctionProcess) -> None:
    topic = TOPICS[instance.name]
    answer = httpx.post(f"{instance.url}/push/{topic}", content=f"poison for {topic}", timeout=30)
    assert answer.status_code == 204, answer.text + instance.said()
    assert httpx.get(f"{instance.url}/ready", timeout=30).status_code == 200
    assert httpx.post(f"{instance.url}/push/elsewhere", json=delivery(b"{}"), timeout=30).status_code == 404
    assert instance.stop() == 0
    warned = [json.loads(line) for line in instance.said().splitlines() if "kept as a letter" in line]
    assert [(line["severity"], line["message"].split(":")[0]) for line in warned] == [
        ("WARNING", f"a message of {topic} is kept as a letter")
    ]
