"""What the command line needs of an installation; `bootstrap` hands it over, because entry does not import adapters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from convergence.domain.finding import Finding
from convergence.domain.run import Run
from convergence.engine.services import Services
from convergence.ports.bus import Tap
from convergence.ports.sql_reader import SqlReader
from convergence.ports.warehouse import Column

Watch = Callable[[str, str, int, int | None, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an installation lives. `synchronous` FULL survives a power cut, NORMAL a killed process.

    Datasets end in `env`; `project_id` is what SQL may put before a dataset. With `schedules`, a writer starts what is
    due by itself. `runs_max` runs are under way at once, of all orgs; None: no such cap.
    """

    data_dir: Path
    configs_dir: Path
    env: str = "dev"
    project_id: str = "local-dev-project"
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    schedules: bool = False
    runs_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentPlace:
    """Where a deployment on Google Cloud is. `functions` is the folder with the files that declare it."""

    project: str
    region: str
    kms_location: str
    database: str
    functions: Path


class Worker(Protocol):
    """Drives runs in this process."""

    async def start(self) -> int:
        """Resume every run with work left; return how many there are."""
        ...

    async def wait(self, org: str, run_id: str, *, timeout_s: float | None = None) -> Run:
        """Return the run when nothing is left to do for it; at the timeout, as it is then."""
        ...

    async def drain(self, timeout_s: float) -> bool:
        """Start no further step and wait for the running ones; False when some did not end in time."""
        ...


@dataclass(frozen=True, slots=True)
class Writer:
    """An installation open for writing, by this process only. `write_log` brings the log tables up to date.

    `look_at_warehouse` raises `StorageUnusable` for a damaged file, which is opened at its first use otherwise.
    `compact` gives the space of removed documents back. `tap` passes on what is published on a topic.
    """

    services: Services
    worker: Worker
    write_log: Callable[[], Awaitable[None]]
    look_at_warehouse: Callable[[], Awaitable[None]]
    compact: Callable[[], None]
    tap: Callable[[str, Tap], None]


class Sandbox(Protocol):
    """Provider APIs on loopback."""

    async def start(self, port: int = 0) -> str:
        """Listen and return the API's base URL. Raises `OSError` when the port is taken."""
        ...

    async def stop(self) -> None:
        """Close the port."""
        ...

    def parameters(self, declared: Mapping[str, str | bool]) -> Mapping[str, Any]:
        """Return a registered provider's `sandbox` parameters for this server, which is already listening."""
        ...

    @staticmethod
    def describe() -> str:
        """Return source, licence and assumptions, for people."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Ways into an installation.

    `writer(place, purpose, watch)` raises `StorageLocked` when another process writes; `watch` is called with rows as
    steps report them. `reader(place)` works beside a writer and creates no file; a place without data reads as an
    installation where nothing has happened yet. `holder(place)` names another process that writes now, if any.
    `backup(place, folder)` and `restore(place, folder)` copy a data directory there and back, and return the manifest.
    `sandbox()` gives a server that is not started yet, and the key that it knows. `sql_reader(place)` reads SQL as a
    run would. `parquet_columns(file)` raises `InvalidInput` for what is not Parquet. `examine_deployment(place)`
    compares a project on Google Cloud with what the code declares.
    """

    writer: Callable[[Place, str, Watch | None], AbstractAsyncContextManager[Writer]]
    reader: Callable[[Place], AbstractContextManager[Services]]
    holder: Callable[[Place], str | None]
    log_file: Callable[[Place], Path]
    backup: Callable[[Place, Path], Mapping[str, Any]]
    restore: Callable[[Place, Path], Mapping[str, Any]]
    sandbox: Callable[[], tuple[Sandbox, str]]
    sql_reader: Callable[[Place], AbstractContextManager[SqlReader]]
    parquet_columns: Callable[[Path], tuple[Column, ...]]
    examine_deployment: Callable[[DeploymentPlace], Coroutine[Any, Any, list[Finding]]]
