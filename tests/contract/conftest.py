"""Every adapter of a port joins the contract tests with one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from convergence.adapters.local.documents import SqliteDocuments
from convergence.adapters.local.keyring import FileKeyring
from convergence.ports.documents import Documents, Index
from convergence.ports.keyring import Keyring

INDEXES = (Index("runs", ("org", "created_at")), Index("runs", ("check_at",)))


class SteppingClock:
    """Each look moves it by a second."""

    def __init__(self) -> None:
        self._at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self._at += timedelta(seconds=1)
        return self._at

    async def sleep(self, seconds: float) -> None:
        self._at += timedelta(seconds=seconds)


def _sqlite_file(folder: Path) -> SqliteDocuments:
    return SqliteDocuments(folder / "state.db", SteppingClock(), indexes=INDEXES)


def _sqlite_memory(_: Path) -> SqliteDocuments:
    return SqliteDocuments(":memory:", SteppingClock(), indexes=INDEXES)


@pytest.fixture(params=[pytest.param(_sqlite_file, id="sqlite-file"), pytest.param(_sqlite_memory, id="sqlite-memory")])
def documents(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Documents]:
    make: Callable[[Path], SqliteDocuments] = request.param
    store = make(tmp_path)
    yield store
    store.close()


@pytest.fixture(params=[pytest.param(FileKeyring, id="file")])
def keyring(request: pytest.FixtureRequest, tmp_path: Path) -> Keyring:
    make: Callable[[Path], Keyring] = request.param
    return make(tmp_path / "key")
