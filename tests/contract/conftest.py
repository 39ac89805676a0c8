"""Every adapter of a port joins the contract tests with one line here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from convergence.adapters.local.clock import RandomIds, SystemClock
from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.adapters.local.keyring.adapter import FileKeyring
from convergence.ports.documents import Documents, Index
from convergence.ports.keyring import Keyring

INDEXES = (Index("runs", ("org", "created_at")), Index("runs", ("check_at",), sharded=True))


class SteppingClock:
    """Each look moves it by a second."""

    def __init__(self) -> None:
        self._at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self._at += timedelta(seconds=1)
        return self._at

    async def sleep(self, seconds: float) -> None:
        self._at += timedelta(seconds=seconds)


@contextmanager
def _sqlite_file(folder: Path) -> Iterator[Documents]:
    store = SqliteDocuments(folder / "state.db", SteppingClock(), indexes=INDEXES)
    yield store
    store.close()


@contextmanager
def _sqlite_memory(_: Path) -> Iterator[Documents]:
    store = SqliteDocuments(":memory:", SteppingClock(), indexes=INDEXES)
    yield store
    store.close()


@contextmanager
def _firestore(_: Path) -> Iterator[Documents]:
    from convergence.adapters.gcp.documents.adapter import FirestoreDocuments
    from convergence.adapters.gcp.documents.indexes import index_file
    from tests.emulators.firestore import FirestoreServer

    server = FirestoreServer(index_file(INDEXES))
    yield FirestoreDocuments("p", SystemClock(), RandomIds(), endpoint=server.start(), indexes=INDEXES)
    server.stop()


@contextmanager
def _real_firestore(_: Path) -> Iterator[Documents]:
    from tests.contract.real_firestore import documents_below

    with documents_below(os.environ["CONVERGENCE_GCP_PROJECT"], INDEXES) as store:
        yield store


@pytest.fixture(
    params=[
        pytest.param(_sqlite_file, id="sqlite-file"),
        pytest.param(_sqlite_memory, id="sqlite-memory"),
        pytest.param(_firestore, id="firestore"),
        pytest.param(_real_firestore, id="firestore-real", marks=pytest.mark.integration),
    ]
)
def documents(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Documents]:
    make: Callable[[Path], AbstractContextManager[Documents]] = request.param
    with make(tmp_path) as store:
        yield store


KMS_KEY = "projects/p/locations/l/keyRings/r/cryptoKeys/credentials"


@contextmanager
def _key_file(folder: Path) -> Iterator[Keyring]:
    yield FileKeyring(folder / "key")


@contextmanager
def _kms(_: Path) -> Iterator[Keyring]:
    from convergence.adapters.gcp.keyring.adapter import CloudKmsKeyring
    from tests.emulators.kms import KmsServer

    server = KmsServer([KMS_KEY])
    yield CloudKmsKeyring(KMS_KEY, clock=SystemClock(), ids=RandomIds(), endpoint=server.start())
    server.stop()


@contextmanager
def _real_kms(_: Path) -> Iterator[Keyring]:
    from convergence.adapters.gcp.keyring.adapter import CloudKmsKeyring

    key = os.environ.get("CONVERGENCE_GCP_KMS_KEY")  # keys cannot be deleted, so the project brings one for tests
    if not key:
        pytest.fail("set CONVERGENCE_GCP_KMS_KEY to a key of the test project: projects/…/cryptoKeys/…")
    yield CloudKmsKeyring(key, clock=SystemClock(), ids=RandomIds())


@pytest.fixture(
    params=[
        pytest.param(_key_file, id="file"),
        pytest.param(_kms, id="kms"),
        pytest.param(_real_kms, id="kms-real", marks=pytest.mark.integration),
    ]
)
def keyring(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keyring]:
    make: Callable[[Path], AbstractContextManager[Keyring]] = request.param
    with make(tmp_path) as made:
        yield made
