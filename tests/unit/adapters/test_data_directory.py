"""Who may write to a data directory, and who may read its files."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from convergence.adapters.local.clock import SystemClock
from convergence.adapters.local.data_directory import DataDirectory
from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.domain.quota import Limits
from convergence.engine.services import Services
from convergence.errors import ConfigError, StorageLocked, StorageUnusable
from convergence.ports.warehouse import Scope, Statement
from convergence.tenants.orgs import Org

CONFIGS = Path(__file__).parents[3] / "configs"


def modes(root: Path) -> dict[str, str]:
    """Mode of everything in a folder, the folder itself as `.`."""
    return {str(path.relative_to(root)): f"{path.stat().st_mode & 0o777:o}" for path in (root, *root.rglob("*"))}


def test_removing_the_lock_file_frees_nothing(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path)
    first.lock("serve")
    (tmp_path / "lock").unlink()
    with pytest.raises(StorageLocked, match="in use by another process"):
        DataDirectory(tmp_path).lock("run a/b")
    first.unlock()
    second = DataDirectory(tmp_path)
    second.lock("run a/b")
    second.unlock()


def test_a_lock_on_a_file_that_was_replaced_meanwhile_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    flock = fcntl.flock

    def replaced_once(file: object, how: int) -> None:
        flock(file, how)  # type: ignore[arg-type] # a file
        monkeypatch.setattr(fcntl, "flock", flock)
        (tmp_path / "lock").unlink()  # between open and lock
        (tmp_path / "lock").write_text("")

    monkeypatch.setattr(fcntl, "flock", replaced_once)
    first = DataDirectory(tmp_path)
    first.lock("serve")
    with pytest.raises(StorageLocked, match=r"\(serve\)"):
        DataDirectory(tmp_path).lock("run a/b")
    first.unlock()


def test_a_directory_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    before = os.umask(0o022)
    with pytest.raises(StorageUnusable, match=r"data directory .*file/data cannot be written: .*Not a directory"):
        DataDirectory(tmp_path / "file" / "data").lock("serve")
    assert os.umask(before) == 0o022


def test_a_state_in_a_read_only_folder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state.db"  # not there: SQLite says the same where it may not make its file beside the state
    with pytest.raises(StorageUnusable, match="restore it from a backup if it is damaged"):
        SqliteDocuments(state, SystemClock(), read_only=True)
    monkeypatch.setattr(os, "access", lambda path, mode: (Path(path), mode) != (tmp_path, os.W_OK))
    with pytest.raises(StorageUnusable, match=rf"The data directory {re.escape(str(tmp_path))} is read-only\."):
        SqliteDocuments(state, SystemClock(), read_only=True)


def test_a_state_that_is_not_one_says_so(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"something else " * 100)

    async def scenario() -> None:
        async with embedded(EmbeddedOptions(data_dir=tmp_path, configs_dir=CONFIGS), "test"):
            pass

    with pytest.raises(StorageUnusable, match=r"state\.db cannot be opened: file is not a database"):
        asyncio.run(scenario())


async def use(services: Services) -> None:
    """Leave something in every file."""
    if await services.documents.get("orgs/acme") is None:
        limits = Limits(daily=1, monthly=1, concurrent=1)
        now = services.clock.now()
        await services.orgs.create(Org(slug="acme", name="acme", status="ACTIVE", limits=limits, created_at=now))
    await services.credentials.store("acme", "p", "sk-secret", name="default")
    sql = "CREATE OR REPLACE TABLE t AS SELECT 1 AS a"
    await services.warehouse.query(Statement(sql, scope=Scope(dataset="acme_dev", writable=True), job_id="j"))


def test_new_and_older_directories_are_closed_to_others(tmp_path: Path) -> None:
    root = tmp_path / "data"
    options = EmbeddedOptions(data_dir=root, configs_dir=CONFIGS)
    while_open: dict[str, str] = {}

    async def scenario() -> None:
        async with embedded(options, "test") as opened:
            await use(opened.services)
            (root / "warehouse" / "log").mkdir(exist_ok=True)
            (root / "warehouse" / "log" / "events.ndjson").write_text("")
            while_open.update(modes(root))

    before = os.umask(0o022)
    try:
        asyncio.run(scenario())
        assert {"state.db-wal", "warehouse/warehouse.duckdb"} <= set(while_open)
        kinds = {name: "700" if (root / name).is_dir() else "600" for name in while_open}
        assert while_open == kinds
        assert os.umask(0o022) == 0o022, "the process got its own mask back"

        (root / "notes.sh").write_text("of the user")
        (root / "warehouse" / "log" / "events.ndjson").write_text("")
        for path in (root, *root.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.suffix == ".sh" else 0o600 if path.suffix == ".key" else 0o644)
        asyncio.run(scenario())
        assert while_open == {**kinds, "notes.sh": "755"}
    finally:
        os.umask(before)


def test_a_missing_key_is_refused_where_credentials_are_stored(tmp_path: Path) -> None:
    options = EmbeddedOptions(data_dir=tmp_path, configs_dir=CONFIGS)

    async def scenario() -> None:
        async with embedded(options, "test") as opened:
            await use(opened.services)

    asyncio.run(scenario())
    (tmp_path / "keyring.key").unlink()
    with pytest.raises(ConfigError, match="the key file is missing"):
        asyncio.run(scenario())
    assert not (tmp_path / "keyring.key").exists()


def test_opening_a_secret_makes_no_key(tmp_path: Path) -> None:
    from convergence.adapters.local.keyring.adapter import FileKeyring

    sealed = asyncio.run(FileKeyring(tmp_path / "one").encrypt(b"secret", "acme"))
    with pytest.raises(ConfigError, match="the key file is missing"):
        asyncio.run(FileKeyring(tmp_path / "two").decrypt(sealed, "acme"))
    assert not (tmp_path / "two").exists()


def test_a_new_orgs_dataset_is_there_before_its_first_statement(tmp_path: Path) -> None:
    async def scenario() -> list[dict[str, object]]:
        async with embedded(EmbeddedOptions(data_dir=tmp_path, configs_dir=CONFIGS), "test") as opened:
            sql = "CREATE TABLE t AS SELECT 1 AS a"
            warehouse = opened.services.warehouse
            await warehouse.query(Statement(sql, scope=Scope(dataset="new_dev", writable=True), job_id="j"))
            return list(
                (await warehouse.query(Statement("SELECT a FROM new_dev.t", scope=Scope(dataset="new_dev")))).rows
            )

    assert asyncio.run(scenario()) == [{"a": 1}]
