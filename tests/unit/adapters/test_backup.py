"""A backup beside a writer: state and warehouse fit, whatever moment it hits."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from convergence.adapters.local import backup
from convergence.adapters.local.backup import MANIFEST, back_up, restore
from convergence.adapters.local.clock import SystemClock
from convergence.adapters.local.data_directory import DataDirectory
from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.errors import InvalidInput, StorageUnusable, Transient
from convergence.ports.documents import Create
from convergence.ports.warehouse import Column, Scope, Statement, TableSchema

CLOCK = SystemClock()
TABLE = TableSchema("t", (Column("n", "INT64"), Column("filler", "STRING")))
BACKUPS = 4


class Writer:
    """Writes row n into the warehouse and only then document n into the state, again and again."""

    def __init__(self, root: Path) -> None:
        self.directory = DataDirectory(root)
        self.directory.root.mkdir()
        self.directory.warehouse.mkdir()
        self.directory.key.write_text("key")
        self.documents = SqliteDocuments(self.directory.documents, CLOCK)
        self.warehouse = DuckDbWarehouse(self.directory.warehouse / "warehouse.duckdb", clock=CLOCK)
        self.written = 0

    async def write(self) -> None:
        rows = [{"n": self.written, "filler": f"{self.written:09}" * 20_000}]  # a checkpoint every twenty
        await self.warehouse.append("acme_dev", TABLE, rows, ids=[str(self.written)])
        await self.documents.commit([Create(f"done/{self.written:09}", {"n": self.written})])
        self.written += 1

    @contextmanager
    def at_work(self) -> Iterator[None]:
        done, begun = threading.Event(), threading.Event()

        async def until_done() -> None:
            while not done.is_set():
                await self.write()
                begun.set()

        thread = threading.Thread(target=lambda: asyncio.run(until_done()))
        thread.start()
        begun.wait(60)
        try:
            yield
        finally:
            done.set()
            thread.join()

    def close(self) -> None:
        self.documents.close()
        self.warehouse.close()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    made = Writer(tmp_path / "data")
    yield made
    made.close()


def found(root: Path) -> tuple[list[int], list[int]]:
    """Return the numbers in the state and those in the warehouse."""

    async def read() -> tuple[list[int], list[int]]:
        directory = DataDirectory(root)
        documents = SqliteDocuments(directory.documents, CLOCK)
        warehouse = DuckDbWarehouse(directory.warehouse / "warehouse.duckdb", clock=CLOCK)
        try:
            page = await documents.query("done", limit=100_000)
            rows = await warehouse.query(Statement("SELECT n FROM t ORDER BY n", scope=Scope(dataset="acme_dev")))
            return sorted(each.data["n"] for each in page.documents), [row["n"] for row in rows.rows]
        finally:
            documents.close()
            warehouse.close()

    return asyncio.run(read())


def test_beside_a_writer_the_warehouse_is_never_behind_the_state(writer: Writer, tmp_path: Path) -> None:
    with writer.at_work():
        for number in range(BACKUPS):
            back_up(writer.directory, tmp_path / f"backup{number}", CLOCK)
    for number in range(BACKUPS):
        restore(tmp_path / f"backup{number}", tmp_path / f"restored{number}")
        done, rows = found(tmp_path / f"restored{number}")
        assert rows == list(range(len(rows))), "a row in the middle is missing"
        assert done == list(range(len(done)))
        assert 0 < len(done) <= len(rows), "the state knows of a write that the warehouse lost"


def test_a_checkpoint_in_the_middle_of_the_copy_begins_it_again(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(writer.write())
    answers = iter([b"before", b"after a checkpoint", b"after a checkpoint", b"after a checkpoint"])
    monkeypatch.setattr(backup, "_headers", lambda _: next(answers))
    back_up(writer.directory, tmp_path / "backup", CLOCK)
    assert next(answers, None) is None, "the first copy was taken though a checkpoint changed the file under it"


def test_a_warehouse_that_is_never_quiet_is_not_backed_up_by_halves(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(writer.write())
    numbers = iter(range(1_000))
    monkeypatch.setattr(backup, "_headers", lambda _: b"%d" % next(numbers))
    with pytest.raises(Transient, match="written faster than it can be copied"):
        back_up(writer.directory, tmp_path / "backup", CLOCK)
    assert not (tmp_path / "backup" / MANIFEST).exists()
    with pytest.raises(InvalidInput, match="or an unfinished one"):
        restore(tmp_path / "backup", tmp_path / "restored")


def test_what_does_not_fit_is_refused(writer: Writer, tmp_path: Path) -> None:
    asyncio.run(writer.write())
    source = tmp_path / "backup"
    back_up(writer.directory, source, CLOCK)
    with pytest.raises(InvalidInput, match="is not empty; a backup needs"):
        back_up(writer.directory, source, CLOCK)
    with pytest.raises(InvalidInput, match="nothing to back up"):
        back_up(DataDirectory(tmp_path / "nowhere"), tmp_path / "other", CLOCK)
    with pytest.raises(InvalidInput, match="is not empty: move it away"):
        restore(source, writer.directory.root)
    manifest = json.loads((source / MANIFEST).read_text())
    (source / MANIFEST).write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(InvalidInput, match="a newer release"):
        restore(source, tmp_path / "restored")
    for broken in ("{", "[]", '{"format": "x"}'):
        (source / MANIFEST).write_text(broken)
        with pytest.raises(InvalidInput, match="cannot be read"):
            restore(source, tmp_path / "restored")
    (source / MANIFEST).write_text(json.dumps({**manifest, "files": {"../backup/state.db/../../x": "0"}}))
    with pytest.raises(InvalidInput, match="missing or was changed"):
        restore(source, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_a_copy_that_was_changed_is_not_restored(writer: Writer, tmp_path: Path) -> None:
    asyncio.run(writer.write())
    back_up(writer.directory, tmp_path / "backup", CLOCK)
    with (tmp_path / "backup" / "state.db").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InvalidInput, match=r"state\.db is missing or was changed"):
        restore(tmp_path / "backup", tmp_path / "restored")


def test_a_damaged_warehouse_makes_no_backup(writer: Writer, tmp_path: Path) -> None:
    asyncio.run(writer.write())
    writer.close()
    path = writer.directory.warehouse / "warehouse.duckdb"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(StorageUnusable, match="cannot be opened"):
        back_up(writer.directory, tmp_path / "backup", CLOCK)
