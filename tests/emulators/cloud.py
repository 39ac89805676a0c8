"""The whole of Google Cloud that the product uses, on loopback: servers, six functions, subscriptions that push."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from convergence.adapters.gcp.documents.indexes import index_file
from convergence.bootstrap.google_cloud import google_cloud
from convergence.config.settings.functions import FunctionSettings
from convergence.engine.messages import message
from convergence.engine.services import INDEXES, UNINDEXED, Services
from convergence.ports.bus import TICK
from convergence.sandbox import ADMIN_KEY
from tests.e2e.gated_sandbox import GatedSandbox, listening
from tests.emulators import topology
from tests.emulators.bigquery import BigQueryServer
from tests.emulators.firestore import FirestoreServer
from tests.emulators.functions import KMS_KEY, NAMES, PROJECT, FunctionProcess, settings
from tests.emulators.identity import Identity
from tests.emulators.kms import KmsServer
from tests.emulators.pubsub import PubSubServer

T = TypeVar("T")
ROOT_KEY: Final = "root-key-of-emulators-with-more-than-32-characters"
PUSHER: Final = f"push@{PROJECT}.iam.gserviceaccount.com"
ORG: Final = "demo"
_WAIT_S: Final = 60.0
_WAITS_MAX: Final = 6  # the stand-ins are slow where others compute too


@dataclass
class Cloud:
    """Everything that runs. `provider` is the base URL of the sandbox."""

    firestore: FirestoreServer
    pubsub: PubSubServer
    kms: KmsServer
    functions: dict[str, FunctionProcess]
    environment: dict[str, str]
    sandbox: GatedSandbox
    provider: str

    @property
    def url(self) -> str:
        """The REST API."""
        return f"{self.functions['dispatcher'].url}/api/v1"

    def call(self, method: str, path: str, *, key: str = "", headers: Mapping[str, str] = {}, **request: Any) -> Any:
        """Ask the API and return its JSON; `key` is the org's, without one the operator asks."""
        shown = {"X-API-Key": key} if key else {"X-CA-Root-Key": ROOT_KEY}
        answer = httpx.request(method, self.url + path, headers={**shown, **headers}, timeout=_WAIT_S + 30, **request)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def onboard(self) -> str:
        """Do what a deployment does, then create the demo's org; return its key."""
        self.call("POST", "/procedures/sync", json={})
        body = {"slug": ORG, "name": "Demo", "plan": "SCALE", "profile": {"admin_email": "ops@demo.example"}}
        key: str = self.call("POST", "/organizations/onboard", json=body)["api_key"]
        return key

    def run(self, key: str, pipeline: str, name: str, *, wait_s: float = _WAIT_S, **given: Any) -> dict[str, Any]:
        """Run a pipeline against the sandbox; return it as it is when it ended, or at once with `wait_s` 0.

        Runs of the same `name` have the same id, here and in an embedded installation.
        """
        for _ in range(_WAITS_MAX):
            found: dict[str, Any] = self.call(
                "POST",
                f"/pipelines/run/{ORG}/{pipeline}?wait={wait_s:g}",
                key=key,
                json={"api_base_url": self.provider, **given},
                headers={"Idempotency-Key": name},  # asked again it is the same run
            )
            if wait_s == 0 or found["status"] in {"completed", "failed", "cancelled"}:
                return found
        raise AssertionError(f"{pipeline} does not end: {found}")

    def use(self, work: Callable[[Services], Awaitable[T]]) -> T:
        """Return what `work` gets from the installation's own services, in this process."""

        async def used() -> T:
            services = google_cloud(FunctionSettings(**self.environment))  # type: ignore[arg-type]  # variables are texts
            try:
                return await work(services)
            finally:
                await services.documents.close()  # type: ignore[attr-defined]  # the adapters have it, the ports need not
                await services.bus.close()  # type: ignore[attr-defined]  # as above
                services.warehouse.close()  # type: ignore[attr-defined]  # as above

        return asyncio.run(used())

    def tick(self) -> None:
        """Do what Cloud Scheduler does each minute."""

        async def publish(services: Services) -> None:
            await services.bus.publish(TICK, [message(b"{}")])

        self.use(publish)


@contextmanager
def cloud(folder: Path, names: Iterable[str] = NAMES, *, jump: bool = False) -> Iterator[Cloud]:
    """Start everything, functions `names` included; stop it at the end. Logs of functions are files in `folder`.

    Raises `RuntimeError` where BigQuery's stand-in has no environment.
    """
    identity = Identity()
    firestore = FirestoreServer(index_file(INDEXES, UNINDEXED))
    pubsub, kms = PubSubServer(jump=jump, token=identity.token), KmsServer([KMS_KEY])
    bigquery = BigQueryServer(folder)
    with ExitStack() as closing:
        for server in (firestore, pubsub, kms, bigquery, identity):
            closing.callback(server.stop)
        environment = settings(
            firestore=firestore.start(),
            pubsub=pubsub.start(),
            kms=kms.start(),
            bigquery=bigquery.start(),
            CONVERGENCE_CERTIFICATES_URL=identity.start(),
            CONVERGENCE_PUSH_SERVICE_ACCOUNT=PUSHER,
            CONVERGENCE_ROOT_KEY=ROOT_KEY,
            RATE_LIMIT_ENABLED="false",
        )
        sandbox, base = closing.enter_context(listening())
        functions = {name: FunctionProcess(name, environment, folder / f"{name}.log") for name in names}
        for process in functions.values():
            closing.callback(process.kill)
            process.begin()
        for process in functions.values():
            process.await_start()
        urls = {name: process.url for name, process in functions.items()}
        endpoint = environment["CONVERGENCE_PUBSUB_ENDPOINT"]
        asyncio.run(topology.connect(urls, project=PROJECT, endpoint=endpoint, service_account=PUSHER))
        yield Cloud(firestore, pubsub, kms, functions, environment, sandbox, base)


def demo(running: Cloud, first: str, last: str, *, name: str = "demo") -> tuple[str, dict[str, Any]]:
    """Do the demo's two runs; return the org's key and the second run, called `name`."""
    key = running.onboard()
    setup = running.run(key, "openai/auth/setup", "setup", api_key=ADMIN_KEY)
    assert setup["status"] == "completed", setup
    run = running.run(key, "openai/cost/usage_cost", name, start_date=first, end_date=last)
    assert run["status"] == "completed", run
    return key, run
