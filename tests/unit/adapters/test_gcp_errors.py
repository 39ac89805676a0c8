"""Every error of Google's libraries becomes one of ours, and a dead channel is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.api_core import exceptions as google
from google.auth import exceptions as auth

from convergence.adapters.gcp.connection import FAILURES_MAX, Connection, transport
from convergence.adapters.gcp.documents.adapter import FirestoreDocuments
from convergence.adapters.gcp.errors import VENDOR, translated, unapplied
from convergence.adapters.retry import retried
from convergence.errors import (
    CloudSetup,
    Conflict,
    ConvergenceError,
    InvalidInput,
    NotFound,
    PermissionMissing,
    Transient,
)
from tests.simulation.faults import SeededIds

AGAIN = {
    "ServiceUnavailable", "DeadlineExceeded", "Aborted", "ResourceExhausted", "TooManyRequests", "InternalServerError",
    "Unknown", "Cancelled", "DataLoss", "BadGateway", "GatewayTimeout", "ServerError", "RetryError",
}  # fmt: skip
FINAL = {
    "PermissionDenied": PermissionMissing,
    "Forbidden": PermissionMissing,
    "Unauthenticated": CloudSetup,
    "Unauthorized": CloudSetup,
    "MethodNotImplemented": CloudSetup,
    "InvalidArgument": InvalidInput,
    "OutOfRange": InvalidInput,
    "NotFound": NotFound,
    "AlreadyExists": Conflict,
    "FailedPrecondition": CloudSetup,
}


class Ticking:
    """A clock that moves when a caller sleeps."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)
        self.waits: list[float] = []

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.at += timedelta(seconds=seconds)


def every_error() -> list[type[Exception]]:
    return [
        kind
        for module in (google, auth)
        for kind in vars(module).values()
        if inspect.isclass(kind) and issubclass(kind, VENDOR)
    ]


def made(kind: Any) -> Any:
    more: dict[str, Any] = {"cause": ValueError()} if kind is google.RetryError else {}
    return kind("said", **more)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_of_google_becomes_one_of_ours_that_says_what_was_done(kind: type[Exception]) -> None:
    ours = translated(made(kind), service="Firestore", doing="read of runs/r1")
    assert isinstance(ours, ConvergenceError)
    assert "Firestore" in str(ours)
    assert "said" in str(ours)
    if kind.__name__ in AGAIN:
        assert type(ours) is Transient
        assert "waiting for Firestore" in str(ours)
    if kind.__name__ in FINAL:
        assert type(ours) is FINAL[kind.__name__]


@pytest.mark.parametrize("kind", [google.AlreadyExists, google.FailedPrecondition, google.NotFound])
def test_a_precondition_that_does_not_hold_is_a_conflict(kind: type[Exception]) -> None:
    ours = translated(kind("said"), service="Firestore", doing="runs/r1", preconditions=True)
    assert type(ours) is Conflict
    assert str(ours).startswith("runs/r1: another writer was first")


def test_aborted_means_try_again_even_where_preconditions_were_sent() -> None:
    assert type(translated(google.Aborted("x"), service="F", doing="y", preconditions=True)) is Transient
    assert unapplied(google.Aborted("x"))
    assert not unapplied(google.ServiceUnavailable("x"))


def test_a_missing_permission_is_final_and_named() -> None:
    message = "Missing or insufficient permissions: datastore.entities.get on projects/p/databases/(default)"
    ours = translated(google.PermissionDenied(message), service="Firestore", doing="read of runs/r1")
    assert not ours.retryable
    assert message in str(ours)


def test_a_missing_database_is_not_a_missing_document() -> None:
    message = "The database (default) does not exist for project p"
    assert type(translated(google.NotFound(message), service="F", doing="y", preconditions=True)) is CloudSetup


def test_no_identity_says_how_to_get_one_and_a_flaky_sign_in_is_waited_for() -> None:
    assert "gcloud auth" in str(translated(auth.DefaultCredentialsError("none"), service="F", doing="y"))
    flaky = auth.RefreshError("reset", retryable=True)
    assert type(translated(flaky, service="F", doing="y")) is Transient


@pytest.mark.parametrize(
    ("unanswered", "ours"),
    [
        (auth.TransportError("Compute Engine Metadata server unavailable"), Transient),
        (auth.TransportError("Status: 404", object()), CloudSetup),  # an answer is attached: there is no such account
        (auth.TimeoutError("slow"), Transient),
    ],
)
def test_an_unanswered_sign_in_is_waited_for(unanswered: Exception, ours: type[Exception]) -> None:
    refreshing = auth.RefreshError(unanswered)  # as google.auth.compute_engine raises it
    refreshing.__cause__ = unanswered
    assert type(translated(refreshing, service="BigQuery", doing="y")) is ours


def failing(times: int, error: Callable[[], Exception]) -> Callable[[], Awaitable[str]]:
    left = [times]

    async def attempt() -> str:
        if left[0] > 0:
            left[0] -= 1
            raise error()
        return "done"

    return attempt


def test_what_passes_is_tried_again_with_jitter() -> None:
    clock = Ticking()
    attempt = failing(4, lambda: Transient("x"))
    assert asyncio.run(retried(attempt, clock=clock, ids=SeededIds(Random(1)), total_s=60)) == "done"
    assert len(clock.waits) == 4
    assert all(wait <= most for wait, most in zip(clock.waits, (0.1, 0.2, 0.4, 0.8), strict=True))


def test_the_total_time_is_bounded_and_other_errors_come_out_at_once() -> None:
    clock = Ticking()
    begun = clock.at
    with pytest.raises(Transient):
        asyncio.run(retried(failing(10**6, lambda: Transient("x")), clock=clock, ids=SeededIds(Random(1)), total_s=20))
    assert timedelta(seconds=10) < clock.at - begun <= timedelta(seconds=20)
    waits = len(clock.waits)
    with pytest.raises(Conflict):
        asyncio.run(retried(failing(1, lambda: Conflict("x")), clock=clock, ids=SeededIds(Random(1)), total_s=20))
    assert len(clock.waits) == waits


class Clients:
    """Counts what a connection builds and closes."""

    def __init__(self) -> None:
        self.built = 0
        self.closed: list[int] = []

    def build(self) -> int:
        self.built += 1
        return self.built

    async def close(self, client: int, grace_s: float | None) -> None:
        self.closed.append(client)


def test_a_client_is_built_at_the_first_call_and_shared() -> None:
    clients = Clients()
    connection = Connection(clients.build, clients.close, service="Firestore", clock=Ticking())
    assert clients.built == 0

    async def scenario() -> None:
        assert connection.client() == connection.client() == 1
        await connection.close()

    asyncio.run(scenario())
    asyncio.run(story_on_another_loop(connection))
    assert (clients.built, clients.closed) == (2, [1])


async def story_on_another_loop(connection: Connection[int]) -> None:
    assert connection.client() == 2


def test_a_channel_is_replaced_after_three_failures_in_a_row_and_not_by_other_errors() -> None:
    clients = Clients()
    connection = Connection(clients.build, clients.close, service="Firestore", clock=Ticking())

    async def call(error: Exception | None) -> None:
        async def use(_: int) -> None:
            if error is not None:
                raise error

        with contextlib.suppress(ConvergenceError):
            await connection.call(use, doing="read")

    async def scenario() -> None:
        for error in (google.ServiceUnavailable("x"), google.DeadlineExceeded("x"), None, google.Aborted("x")):
            await call(error)
        for _ in range(FAILURES_MAX - 1):
            await call(google.ServiceUnavailable("x"))
        assert clients.built == 1
        await call(google.ServiceUnavailable("x"))
        await call(None)
        await asyncio.sleep(0)
        assert (clients.built, clients.closed) == (2, [1])

    asyncio.run(scenario())


def test_a_service_that_is_away_costs_one_channel_in_ten_seconds_however_many_wait() -> None:
    clients, clock = Clients(), Ticking()
    connection = Connection(clients.build, clients.close, service="Firestore", clock=clock)

    async def use(_: int) -> None:
        await asyncio.sleep(0)  # all are under way when the first ones fail
        raise google.ServiceUnavailable("x")

    async def scenario() -> list[int]:
        built = []
        for _ in range(21):
            calls = (connection.call(use, doing="read") for _ in range(80))
            assert all(isinstance(each, Transient) for each in await asyncio.gather(*calls, return_exceptions=True))
            built.append(clients.built)
            await clock.sleep(1)
        return built

    assert asyncio.run(scenario()) == [1] + 10 * [2] + 10 * [3]


class FakeTransport:
    """Shows what a transport of Google's is built from."""

    def __init__(self, channel: Any) -> None:
        self.options = channel("host", options=[("a", 1)])

    @staticmethod
    def create_channel(host: str, options: list[Any]) -> list[Any]:
        return options


def test_a_real_channel_has_a_connection_of_its_own() -> None:
    made = transport(FakeTransport, None)
    assert made.options == [("a", 1), ("grpc.use_local_subchannel_pool", 1)]


def test_without_an_identity_the_first_call_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    documents = FirestoreDocuments("p", Ticking(), SeededIds(Random(1)))
    with pytest.raises(CloudSetup, match="gcloud auth application-default login"):
        asyncio.run(documents.get("runs/r1"))


def test_with_an_identity_the_real_service_is_addressed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"type": "service_account", "client_email": "a@p.example", "token_uri": "https://x.example"}
    (tmp_path / "key.json").write_text(json.dumps({**account, "private_key": pem, "project_id": "p"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    documents = FirestoreDocuments("p", Ticking(), SeededIds(Random(1)))

    async def scenario() -> str:
        host: str = documents.connection.client().transport.host
        await documents.close()
        return host

    assert asyncio.run(scenario()) == "firestore.googleapis.com:443"
