"""Two releases side by side on one Firestore, as during a deployment: what either writes, the other can work on.

`previous_release.txt` names the other one, by a commit or tag of this repository.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from convergence.adapters.gcp.documents.indexes import index_file
from convergence.adapters.local.clock import SystemClock
from convergence.bootstrap.google_cloud import google_cloud
from convergence.config.settings.functions import FunctionSettings
from convergence.domain.quota import Limits
from convergence.domain.times import to_text
from convergence.engine.services import INDEXES, UNINDEXED
from convergence.ports.bus import DISPATCH, RUN_EVENTS, STEP_READY, RetryPolicy
from convergence.tenants.orgs import Org
from tests.emulators.firestore import FirestoreServer
from tests.emulators.functions import KMS_KEY, PROJECT, ROOT, FunctionProcess, settings
from tests.emulators.kms import KmsServer
from tests.emulators.pubsub import PubSubServer
from tests.emulators.topology import Admin, connect
from tests.unit.adapters.bigquery_recorder import Recorder, recording

KEY = "root-key-of-the-tests-with-more-than-32-characters"
OPERATOR = {"X-CA-Root-Key": KEY}
OLD, NEW = "old", "new"
PREVIOUS = Path(__file__).with_name("previous_release.txt").read_text().split()[0]
HERE = subprocess.run(["git", "cat-file", "-e", f"{PREVIOUS}^{{commit}}"], cwd=ROOT, capture_output=True, check=False)
pytestmark = pytest.mark.skipif(HERE.returncode != 0, reason=f"this clone is shallow: it has no {PREVIOUS}")
WAIT_S = 60.0
BACKFILLS_S = 240.0  # a backfill looks at its runs once a minute
STEPS = 4  # of example/hello
NAMES = ("dispatcher", "step", "scheduler", "dead_letter", "notifier")


class Releases:
    """Functions of both releases on the same services."""

    def __init__(self, folder: Path, environment: dict[str, str], closing: ExitStack, bigquery: Recorder) -> None:
        self.bigquery = bigquery
        self._folder, self._environment, self._closing = folder, environment, closing
        self._code = {NEW: ROOT, OLD: folder / "previous"}
        archive = subprocess.run(
            ["git", "archive", PREVIOUS, "shared/convergence", "configs", "functions"],
            cwd=ROOT, check=False, capture_output=True,
        )  # fmt: skip
        assert archive.returncode == 0, f"{PREVIOUS} is not here: fetch the whole history. {archive.stderr.decode()}"
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(self._code[OLD], filter="data")
        self.functions = {(release, name): self._begin(release, name) for release in (OLD, NEW) for name in NAMES}
        for process in self.functions.values():
            process.await_start()

    def _begin(self, release: str, name: str) -> FunctionProcess:
        code = self._code[release]
        paths = {"PYTHONPATH": str(code / "shared"), "CONVERGENCE_CONFIGS": str(code / "configs")}
        log = self._folder / f"{release}-{name}.log"
        process = FunctionProcess(name, self._environment | paths, log, folder=code / "functions" / name)
        self._closing.callback(process.kill)
        process.begin()
        return process

    def subscribe(self, releases: Sequence[str], topic: str = STEP_READY, name: str = "step") -> None:
        """Let the functions `name` of `releases` hear a topic: of both, each message goes to both."""

        async def work() -> None:
            await connect({}, project=PROJECT, endpoint=self._environment["CONVERGENCE_PUBSUB_ENDPOINT"])  # topics
            admin = Admin(PROJECT, endpoint=self._environment["CONVERGENCE_PUBSUB_ENDPOINT"])
            try:
                for release in (OLD, NEW):
                    url = f"{self.functions[release, name].url}/push/{topic}"
                    if release not in releases:
                        url = f"{self.functions[release, name].url}/health"  # heard by no release: acknowledged
                    own = f"{release}-{name}"
                    await admin.subscribe(topic, RetryPolicy(dead_letter_topic=None), url, name=own)
                    await admin.repoint(own, url)
            finally:
                await admin.close()

        asyncio.run(work())

    def run(self, release: str, name: str) -> dict[str, Any]:
        """Run a pipeline by the API of a release; return it when it ended."""
        url = f"{self.functions[release, 'dispatcher'].url}/api/v1/pipelines/run/acme/example/hello"
        headers = {**OPERATOR, "Idempotency-Key": name}
        answer = httpx.post(f"{url}?wait={WAIT_S:g}", json={}, headers=headers, timeout=WAIT_S + 30)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def tick(self, release: str) -> None:
        """Let the scheduler of a release handle a tick."""
        self.push(release, "scheduler", "tick", b"{}")

    def push(self, release: str, name: str, topic: str, data: bytes, **attributes: str) -> None:
        """Deliver a message to a function of a release."""
        text, now = base64.b64encode(data).decode(), to_text(SystemClock().now())
        message = {"data": text, "attributes": attributes, "messageId": f"{release}-{topic}", "publishTime": now}
        body = {"message": message, "subscription": "s"}
        answer = httpx.post(f"{self.functions[release, name].url}/push/{topic}", json=body, timeout=WAIT_S)
        assert answer.status_code == 204, answer.text

    def ask(self, release: str, method: str, path: str) -> Any:
        """Return what the API of a release answers to the operator."""
        url = f"{self.functions[release, 'dispatcher'].url}/api/v1/{path}"
        answer = httpx.request(method, url, headers=OPERATOR, timeout=WAIT_S)
        assert answer.is_success, answer.text
        return answer.json()

    def backfill(self, release: str) -> str:
        """Create a backfill of three days by the API of a release; return its id."""
        url = f"{self.functions[release, 'dispatcher'].url}/api/v1/pipelines/backfill/acme/example/hello"
        days = {"from": "2026-11-01", "to": "2026-11-03", "mode": "all", "concurrency": 3}
        created = httpx.post(url, json=days, headers=OPERATOR, timeout=WAIT_S)
        assert created.status_code == 202, created.text
        return str(created.json()["backfill_id"])

    def backfilled(self, release: str, backfill_id: str) -> dict[str, Any]:
        """Return a backfill as the API of a release shows it."""
        url = f"{self.functions[release, 'dispatcher'].url}/api/v1/pipelines/backfills/acme/{backfill_id}"
        found: dict[str, Any] = httpx.get(url, headers=OPERATOR, timeout=WAIT_S).json()
        return found


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    firestore, pubsub = FirestoreServer(index_file(INDEXES, UNINDEXED)), PubSubServer()
    kms = KmsServer([KMS_KEY])
    with ExitStack() as closing:
        for server in (firestore, pubsub, kms):
            closing.callback(server.stop)
        recorder, bigquery = closing.enter_context(recording())
        environment = settings(
            firestore=firestore.start(),
            pubsub=pubsub.start(),
            kms=kms.start(),
            bigquery=bigquery,
            CONVERGENCE_ROOT_KEY=KEY,
        )

        async def org() -> None:
            services = google_cloud(FunctionSettings(**environment))  # type: ignore[arg-type]  # variables are texts
            limits = Limits(daily=100, monthly=100, concurrent=20)
            now = services.clock.now()
            await services.orgs.create(Org(slug="acme", name="Acme", status="ACTIVE", limits=limits, created_at=now))
            await services.documents.close()  # type: ignore[attr-defined]  # the adapter has it, the port need not

        asyncio.run(org())
        yield Releases(tmp_path_factory.mktemp("releases"), environment, closing, recorder)


def test_the_other_release_is_an_earlier_one_with_other_code() -> None:
    def git(*words: str) -> int:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False).returncode

    assert git("merge-base", "--is-ancestor", PREVIOUS, "HEAD") == 0
    assert git("diff", "--quiet", PREVIOUS, "HEAD", "--", "shared/convergence/engine") == 1


def test_a_run_of_either_release_is_finished_by_the_other_and_by_both(releases: Releases) -> None:
    for dispatcher, steps in ((OLD, [NEW]), (NEW, [OLD]), (OLD, [OLD, NEW]), (NEW, [OLD, NEW])):
        releases.subscribe(steps)
        run = releases.run(dispatcher, f"{dispatcher}-{'-'.join(steps)}")
        assert run["status"] == "completed", run
        for release in (OLD, NEW):  # both read what the other wrote, also when it is over
            url = f"{releases.functions[release, 'dispatcher'].url}/api/v1/pipelines/status/acme/{run['run_id']}"
            seen = httpx.get(url, headers=OPERATOR, timeout=WAIT_S).json()
            assert (seen["run_id"], seen["status"]) == (run["run_id"], "completed")
            assert [step["status"] for step in seen["steps"]] == ["completed"] * STEPS
            assert all(step["attempts"] <= 1 for step in seen["steps"]), "two releases executed one step twice"
    _ticks_work(releases)


def _ticks_work(releases: Releases) -> None:
    for release in (OLD, NEW):
        releases.tick(release)
    releases.subscribe([OLD, NEW])
    made = {release: releases.backfill(release) for release in (OLD, NEW)}
    end = time.monotonic() + BACKFILLS_S
    while any(releases.backfilled(NEW, each)["status"] == "running" for each in made.values()):
        assert time.monotonic() < end
        for release in (OLD, NEW):
            releases.tick(release)
        threading.Event().wait(0.5)
    for release in (OLD, NEW):
        for backfill_id in made.values():
            found = releases.backfilled(release, backfill_id)
            assert (found["status"], found["counts"]["done"]) == ("done", 3), found
    for release in (OLD, NEW):
        lines = releases.functions[release, "scheduler"].output().splitlines()
        assert not [line for line in lines if '"severity":"ERROR"' in line or "WARNING" in line]


def test_a_message_that_either_release_gave_up_on_is_sent_again_by_this_one_and_handled_by_either(
    releases: Releases,
) -> None:
    """The release before has no route that sends again; webhooks it has none at all."""
    releases.subscribe([NEW])
    for kept_by, handled_by in ((OLD, NEW), (NEW, OLD), (OLD, OLD)):
        releases.subscribe([handled_by], DISPATCH, "dispatcher")
        key = f"{kept_by}-{handled_by}"
        request = {"org": "acme", "pipeline": "example/hello", "trigger": "event", "idempotency_key": key}
        times = {"CloudPubSubDeadLetterSourceDeliveryCount": "100"}
        known = {each["letter_id"] for each in releases.ask(NEW, "GET", "dead-letters/acme")["dead_letters"]}
        data = json.dumps(request).encode()
        releases.push(kept_by, "dead_letter", "dead-letter", data, org="acme", kind="dispatch", **times)
        found = {each["letter_id"]: each for each in releases.ask(NEW, "GET", "dead-letters/acme")["dead_letters"]}
        (letter_id,) = found.keys() - known
        assert found[letter_id]["code"] == "message.given_up"
        before = {each["run_id"] for each in releases.ask(OLD, "GET", "pipelines/history/acme")["runs"]}
        assert releases.ask(NEW, "POST", f"dead-letters/acme/{letter_id}/send")["state"] == "sent"
        (run,) = await_that(partial(new_runs, releases, before))
        assert run["status"] == "completed"


def test_events_of_either_release_are_written_by_the_other(releases: Releases) -> None:
    for written_by, heard_by in ((OLD, NEW), (NEW, OLD)):
        releases.subscribe([written_by])
        releases.subscribe([heard_by], RUN_EVENTS, "notifier")
        run = releases.run(written_by, f"events-{written_by}")
        assert run["status"] == "completed", run
        rows = await_that(partial(last_rows, releases.bigquery, run["run_id"]))
        assert {row.get("step_id") for row in rows} >= {step["step_id"] for step in run["steps"]}
        assert {row["x_org_slug"] for row in rows} == {"acme"}


def new_runs(releases: Releases, seen: set[str]) -> list[dict[str, Any]]:
    """Return the runs that are not among those `seen`, once they are over."""
    runs = releases.ask(OLD, "GET", "pipelines/history/acme")["runs"]
    return [each for each in runs if each["run_id"] not in seen and each["status"] in {"completed", "failed"}]


def last_rows(bigquery: Recorder, run_id: str) -> list[dict[str, Any]]:
    """Return the rows of a run in the log, once its end is among them."""
    rows = [row for row in bigquery.streamed if run_id in row.values()]
    return rows if any(row.get("status") == "completed" and "step_id" not in row for row in rows) else []


def await_that(found: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return what is found as soon as there is something."""
    end = time.monotonic() + WAIT_S
    while not (answer := found()):
        assert time.monotonic() < end, "nothing came"
        threading.Event().wait(0.2)
    return answer
