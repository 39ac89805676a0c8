"""A disk that is full and then is not. A limit on the size of files stands for it: no test can fill the disk."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from convergence.adapters.local.log_sink import LogSink
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.config.files.schemas.folder import TableSchemas
from convergence.config.settings.deployment import Settings
from convergence.entry.api.app import create_app
from convergence.entry.api.runtime import runtime
from convergence.entry.cli.log_file import LogFile
from convergence.errors import StorageFault, StorageUnusable, Transient
from convergence.ports.documents import Create
from convergence.ports.warehouse import Scope, Statement
from tests.contract.log_events import SteppedClock, an_event
from tests.contract.log_process import Process

CONFIGS = Path(__file__).parents[3] / "configs"
MANY = "CREATE OR REPLACE TABLE t AS SELECT md5(CAST(n AS STRING)) AS a FROM UNNEST(GENERATE_ARRAY(1, 200000)) AS n"
SCOPE = Scope(dataset="acme_dev", writable=True)


@contextmanager
def full(size: int) -> Iterator[None]:
    """Let no file grow over `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_warehouse_is_opened_again_once_there_is_room(tmp_path: Path) -> None:
    async def scenario() -> None:
        warehouse = DuckDbWarehouse(tmp_path / "w.duckdb", clock=SteppedClock())
        await warehouse.query(Statement("CREATE TABLE small AS SELECT 1 AS a", scope=SCOPE, job_id="first"))
        assert await warehouse.session.trouble() is None
        with full(1_500_000):
            with pytest.raises(Transient):
                await warehouse.query(Statement(MANY, scope=SCOPE, job_id="many"))
            reason = await warehouse.session.trouble()
            if reason is not None:
                assert "File too large" in reason
        assert await warehouse.session.trouble() is None
        await warehouse.query(Statement(MANY, scope=SCOPE, job_id="many"))
        found = await warehouse.query(Statement("SELECT COUNT(*) AS n, (SELECT a FROM small) AS a FROM t", scope=SCOPE))
        assert found.rows == [{"n": 200_000, "a": 1}]
        warehouse.close()

    asyncio.run(scenario())


def test_a_database_that_duckdb_has_given_up_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    async def scenario() -> None:
        warehouse = DuckDbWarehouse(tmp_path / "w.duckdb", clock=SteppedClock())
        await warehouse.query(Statement("CREATE TABLE small AS SELECT 1 AS a", scope=SCOPE, job_id="first"))
        before = warehouse.session.opened

        def fails(job: object) -> None:
            raise duckdb.FatalException("FATAL Error: Failed to create checkpoint: No space left on device")

        with pytest.raises(Transient, match="No space left on device"):
            await warehouse.session.write(fails)
        found = await warehouse.query(Statement("SELECT a FROM small", scope=SCOPE))
        assert found.rows == [{"a": 1}]
        assert warehouse.session.opened == before + 1
        warehouse.close()

    asyncio.run(scenario())


def test_ready_reports_the_reason_why_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convergence.entry.api.fresh.KEPT_S", 0.0)

    async def scenario() -> None:
        options = EmbeddedOptions(data_dir=tmp_path, configs_dir=CONFIGS)
        async with embedded(options, "test") as opened:
            app = create_app(
                runtime(opened.services, Settings(), wait=opened.worker.wait, log_lines=lambda _: ())  # type: ignore[arg-type] # not asked
            )
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
            assert (await client.get("/ready")).status_code == 200
            with full(100_000), pytest.raises(Transient, match="state could not be written"):
                await opened.services.documents.commit([Create("things/a", {"text": "x" * 500_000})])
            with full(1):
                answer = await client.get("/ready")
                assert (answer.status_code, answer.json()["code"]) == (503, "transient")
                assert "state could not be written" in answer.json()["detail"]
            assert (await client.get("/ready")).status_code == 200

    asyncio.run(scenario())


def test_events_are_kept_until_they_are_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        schemas, clock = TableSchemas(CONFIGS), SteppedClock()
        names = {"runs": "org_meta_pipeline_runs", "steps": "org_meta_step_logs", "audit": "org_audit_logs"}
        tables: dict[str, Any] = {kind: schemas.get(name) for kind, name in names.items()}
        warehouse = DuckDbWarehouse(tmp_path / "w.duckdb", clock=clock)
        sink = LogSink(warehouse, **tables, dataset_of="{}_dev".format, clock=clock)
        with full(10):
            sink.accept([an_event(1), an_event(2)])
            sink.write_due()  # as its timer does
            assert sink.trouble is not None
            assert "File too large" in sink.trouble
        sink.accept([an_event(3)])
        await sink.close()
        assert sink.trouble is None
        lines = (tmp_path / "log" / "events.ndjson").read_bytes().splitlines()
        assert [event.data in lines for event in (an_event(1), an_event(2), an_event(3))] == [True] * 3
        warehouse.close()

    asyncio.run(scenario())


def test_a_log_that_cannot_be_written_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler = LogFile(tmp_path / "log")
    record = logging.LogRecord("convergence", logging.INFO, "", 0, "hello", None, None)
    handler.emit(record)
    with full((tmp_path / "log").stat().st_size):
        for _ in range(50):
            handler.emit(record)
    message = capsys.readouterr().err
    assert message == f"{tmp_path / 'log'} cannot be written: File too large; its lines are lost\n"
    handler.emit(record)
    handler.close()
    assert (tmp_path / "log").read_text() == "hello\n" * 2
    assert capsys.readouterr().err == ""


def test_a_damaged_journal_is_found_at_start_with_the_way_out(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse" / "warehouse.duckdb"
    options = EmbeddedOptions(data_dir=tmp_path, configs_dir=CONFIGS)

    async def run_scenario(break_it: bool) -> None:
        async with embedded(options, "test") as opened:
            await opened.services.warehouse.query(Statement("CREATE TABLE t AS SELECT 1 AS a", scope=SCOPE, job_id="j"))
            if break_it:  # as a process leaves it that dies, but for one byte
                journal = warehouse.with_name("warehouse.duckdb.wal")
                left = warehouse.read_bytes(), bytearray(journal.read_bytes())
                left[1][len(left[1]) // 2] ^= 0xFF
                kept.append(left)

    kept: list[tuple[bytes, bytearray]] = []
    asyncio.run(run_scenario(break_it=True))
    warehouse.write_bytes(kept[0][0])
    warehouse.with_name("warehouse.duckdb.wal").write_bytes(kept[0][1])
    with pytest.raises(StorageUnusable, match=r"warehouse\.duckdb cannot be opened: .*WAL.*Restore .* from a backup"):
        asyncio.run(run_scenario(break_it=False))


@pytest.mark.parametrize("left", [0.5, 0.9, 0.999])
def test_a_cut_warehouse_is_found_when_it_is_opened_with_the_way_out(tmp_path: Path, left: float) -> None:
    file = tmp_path / "w.duckdb"

    async def opened() -> None:
        warehouse = DuckDbWarehouse(file, clock=SteppedClock())
        try:
            await warehouse.query(Statement(MANY, scope=SCOPE, job_id="many"))
        finally:
            warehouse.close()

    asyncio.run(opened())
    os.truncate(file, int(file.stat().st_size * left))
    with pytest.raises(StorageUnusable, match=r"w\.duckdb (is cut|cannot be opened): .*Restore .* from a backup"):
        asyncio.run(opened())


def test_a_file_that_shrank_when_it_was_closed_is_not_cut(tmp_path: Path) -> None:
    """A checkpoint cuts free blocks off the end, after it has written how many blocks there are."""
    import duckdb

    file = tmp_path / "w.duckdb"
    database = duckdb.connect(str(file))
    database.execute("CREATE TABLE dropped AS SELECT hash(range) AS a, range AS b FROM range(20000)")
    database.execute("CHECKPOINT")
    database.execute("DROP TABLE dropped")
    database.close()
    database = duckdb.connect(str(file))
    blocks = database.execute("SELECT block_size * total_blocks FROM pragma_database_size()").fetchone()
    database.close()
    assert blocks is not None
    assert blocks[0] > file.stat().st_size

    async def opened() -> None:
        warehouse = DuckDbWarehouse(file, clock=SteppedClock())
        try:
            assert (await warehouse.query(Statement("SELECT 1 AS one", scope=SCOPE))).rows == [{"one": 1}]
        finally:
            warehouse.close()

    asyncio.run(opened())


def test_a_file_that_is_damaged_while_it_is_open_fails_no_step(tmp_path: Path) -> None:
    import duckdb

    async def scenario() -> None:
        warehouse = DuckDbWarehouse(tmp_path / "w.duckdb", clock=SteppedClock())

        def fails(job: object) -> None:
            raise duckdb.IOException(
                f'Could not read enough bytes from file "{tmp_path}/w.duckdb": attempted to read 4'
            )

        with pytest.raises(StorageFault, match=r"is damaged.*Restore the data directory"):
            await warehouse.session.write(fails)
        warehouse.close()

    asyncio.run(scenario())


def test_a_line_of_the_log_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    process = Process(tmp_path)
    process.run_steps("a")
    line = b'{"id": "e9", "type": "step.completed", "org": "' + b"x" * 300_000 + b'"}'
    with process.spool.open("ab") as file:
        file.write(b"\n" + line)
    process.run_steps("b")
    assert process.run_steps("c", opens=True) == ["a", "b", "c"]
    assert (process.spool.parent / "events.unreadable.ndjson").read_bytes() == line + b"\n"
    assert process.run_steps("d", opens=True) == ["a", "b", "c", "d"]
