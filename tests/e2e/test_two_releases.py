"""Two releases side by side on one Firestore, as during a deployment: what either writes, the other can work on.

`previous_release.txt` names the other one, by a commit or tag of this repository.
"""

from __future__ import annotations

import asyncio
import io
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
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
from convergence.ports.bus import STEP_READY, RetryPolicy
from convergence.tenants.orgs import Org
from tests.emulators.firestore import FirestoreServer
from tests.emulators.functions import KMS_KEY, PROJECT, ROOT, FunctionProcess, settings
from tests.emulators.kms import KmsServer
from tests.emulators.pubsub import PubSubServer
from tests.emulators.topology import Admin, connect

KEY = "root-key-of-the-tests-with-more-than-32-characters"
OPERATOR = {"X-CA-Root-Key": KEY}
OLD, NEW = "old", "new"
PREVIOUS = Path(__file__).with_name("previous_release.txt").read_text().split()[0]
HERE = subprocess.run(["git", "cat-file", "-e", f"{PREVIOUS}^{{commit}}"], cwd=ROOT, capture_output=True, check=False)
pytestmark = pytest.mark.skipif(HERE.returncode != 0, reason=f"this clone is shallow: it has no {PREVIOUS}")
WAIT_S = 60.0
BACKFILLS_S = 240.0  # a backfill looks at its runs once a minute
STEPS = 4  # of example/hello
NAMES = ("dispatcher", "step", "scheduler")


class Releases:
    """Functions of both releases on the same services."""

    def __init__(self, folder: Path, environment: dict[str, str], closing: ExitStack) -> None:
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

    def subscribe(self, releases: Sequence[str]) -> None:
        """Let the step functions of `releases` hear `step-ready`: of both, each message goes to both."""

        async def work() -> None:
            await connect({}, project=PROJECT, endpoint=self._environment["CONVERGENCE_PUBSUB_ENDPOINT"])  # topics
            admin = Admin(PROJECT, endpoint=self._environment["CONVERGENCE_PUBSUB_ENDPOINT"])
            try:
                for release in (OLD, NEW):
                    url = f"{self.functions[release, 'step'].url}/push/{STEP_READY}"
                    if release not in releases:
                        url = f"{self.functions[release, 'step'].url}/health"  # heard by no release: acknowledged
                    name = f"{release}-step"
                    await admin.subscribe(STEP_READY, RetryPolicy(dead_letter_topic=None), url, name=name)
                    await admin.repoint(name, url)
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
        body = {
            "message": {"data": "e30=", "messageId": "1", "publishTime": to_text(SystemClock().now())},
            "subscription": "s",
        }
        answer = httpx.post(f"{self.functions[release, 'scheduler'].url}/push/tick", json=body, timeout=WAIT_S)
        assert answer.status_code == 204, answer.text

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
        environment = settings(
            firestore=firestore.start(), pubsub=pubsub.start(), kms=kms.start(), CONVERGENCE_ROOT_KEY=KEY
        )

        async def org() -> None:
            services = google_cloud(FunctionSettings(**environment))  # type: ignore[arg-type]  # variables are texts
            limits = Limits(daily=100, monthly=100, concurrent=20)
            now = services.clock.now()
            await services.orgs.create(Org(slug="acme", name="Acme", status="ACTIVE", limits=limits, created_at=now))
            await services.documents.close()  # type: ignore[attr-defined]  # the adapter has it, the port need not

        asyncio.run(org())
        yield Releases(tmp_path_factory.mktemp("releases"), environment, closing)


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
