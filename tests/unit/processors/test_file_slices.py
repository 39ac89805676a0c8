"""Deliveries that take longer than one execution of a step: the real engine goes on from checkpoints."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.objects.folder import FolderStore
from convergence.errors import Transient
from convergence.ports.object_store import StoredObject
from convergence.ports.warehouse import StagedFile
from convergence.processors.files.progress import Progress, Staged
from convergence.processors.files.spool import stage_parts
from convergence.processors.generic import file_extractor
from tests.unit.processors.file_world import FIELDS, HEAD
from tests.unit.processors.installation import CONFIGS, ORG, Here, installed

PIPELINE = """
pipeline_id: "{org_slug}-example-bills"
name: Bills in files
provider: example
domain: cost
version: "1.0"
steps:
  - step_id: load
    ps_type: generic.file_extractor
    retry: {max_attempts: 2, backoff_seconds: 1}
    source: {kind: folder, path: "bills/%Y-%m/"}
    config:
      period: month
      period_column: period
      unknown_columns: keep
      on_bad_row: quarantine
    destination: {table: example_bills_raw, date_field: day}
"""
ASKED = {"start_date": "2026-01-05", "end_date": "2026-02-05"}
ROWS = "SELECT id, x_pipeline_run_date AS month FROM example_bills_raw ORDER BY id"


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Configs with a pipeline of files, each of which is a slice of its own."""
    monkeypatch.setattr(file_extractor, "SLICE_S", 0.0)
    folder = tmp_path / "configs"
    shutil.copytree(CONFIGS, folder)
    (folder / "example/bills.yml").write_text(PIPELINE)
    schemas = folder / "example/usage/schemas"
    schemas.mkdir(parents=True, exist_ok=True)
    (schemas / "example_bills_raw.json").write_text(json.dumps(FIELDS))
    return folder


def put(data: Path, name: str, *rows: str) -> None:
    path = data / "files" / ORG / "bills" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + "".join(f"{row}\n" for row in rows))
    os.utime(path, (1_770_000_000, 1_770_000_000))


def running(data: Path, configs: Path, work: Callable[[Here], Any]) -> Any:
    async def main() -> Any:
        async with installed(data, configs=configs) as here:
            return await work(here)

    return asyncio.run(main())


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The checkpoints that were made."""
    made: list[dict[str, Any]] = []
    real = Progress.checkpoint

    def noted(progress: Progress) -> dict[str, Any]:
        made.append(real(progress))
        return made[-1]

    monkeypatch.setattr(Progress, "checkpoint", noted)
    return made


def test_each_month_has_its_own_rows_and_a_failed_slice_is_repeated(
    tmp_path: Path, configs: Path, checkpoints: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    put(data, "2026-01/1.csv", "1,2026-01-01,2026-01-03,1,USD", "8,2026-02-01,2026-01-03,1,USD")
    put(data, "2026-01/2.csv", "2,2026-01-01,2026-01-04,1,USD")
    put(data, "2026-01/3.csv", "3,2026-01-01,2026-01-06,1,USD", "9,2026-01-01,2026-01-03,NaN,USD")
    put(data, "2026-02/1.csv", "4,2026-02-01,2026-02-03,1,USD")
    real, asked = FolderStore.fetch, list[str]()

    async def fetch(store: FolderStore, name: str, into: Path, *, bytes_max: int) -> StoredObject:
        asked.append(name)
        if len(asked) == 2:  # the second slice
            raise Transient("the place is busy")
        return await real(store, name, into, bytes_max=bytes_max)

    monkeypatch.setattr(FolderStore, "fetch", fetch)

    async def work(here: Here) -> None:
        result = (await here.good("example/bills", **ASKED))["load"]
        counted = [result[name] for name in ("rows_processed", "rows_written", "rows_quarantined", "files")]
        assert counted == [6, 4, 2, 4]
        assert [each.split()[0] for each in result["deliveries"]] == ["2026-01-01", "2026-02-01"]
        assert [len(checkpoints), len(asked)] == [3, 5]
        january, february = date(2026, 1, 1), date(2026, 2, 1)
        found = [(row["id"], row["month"]) for row in await here.rows(ROWS)]
        assert found == [(1, january), (2, january), (3, january), (4, february)]
        aside = await here.rows("SELECT reason FROM org_meta_quarantine_rows ORDER BY reason")
        assert ["1.csv" in aside[0]["reason"], "3.csv" in aside[1]["reason"], len(aside)] == [True, True, 2]

    running(data, configs, work)


def test_files_of_two_deliveries_are_not_mixed(
    tmp_path: Path, configs: Path, checkpoints: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    put(data, "2026-01/1.csv", "1,2026-01-01,2026-01-03,1,USD")
    put(data, "2026-01/2.csv", "2,2026-01-01,2026-01-04,1,USD")

    async def replaced(*given: Any, **named: Any) -> bool:
        done = await stage_parts(*given, **named)
        put(data, "2026-01/2.csv", "2,2026-01-01,2026-01-04,25,USD")
        return done

    async def work(here: Here) -> None:
        asked = {**ASKED, "end_date": "2026-01-06"}
        await here.good("example/bills", **asked)
        monkeypatch.setattr(file_extractor, "stage_parts", replaced)
        run = await here.run("example/bills", **asked)
        assert ("another delivery arrived while the files of one were being read (2026-01)") in (run.error or {})[
            "message"
        ]
        assert [row["cost"] for row in await here.rows("SELECT cost FROM example_bills_raw")] == [1, 1]
        monkeypatch.setattr(file_extractor, "stage_parts", stage_parts)
        await here.good("example/bills", **asked)
        assert sorted(row["cost"] for row in await here.rows("SELECT cost FROM example_bills_raw")) == [1, 25]

    running(data, configs, work)


def test_a_checkpoint_is_small_json_and_comes_back_as_it_was() -> None:
    first = date(2026, 1, 1)
    days = {first + timedelta(days=number) for number in range(9_000)} | {date(2001, 2, 3)}
    staged = Staged("d")
    at = datetime(2026, 1, 12, tzinfo=UTC)
    staged.add("a.csv", StoredObject("a.csv", 7, at, "t"), StagedFile(("x", "y"), 5, tuple(sorted(days))))
    staged.add("b.csv", StoredObject("b.csv", 1, at - timedelta(days=1), "t"), StagedFile((), 0))
    progress = Progress(1, 2, 3, 4, 5, ["2025-12-01 d"], staged)
    text = json.dumps(progress.checkpoint())
    assert len(text) < 1_000
    assert Progress.of(json.loads(text)) == progress
    assert Progress.of(Progress().checkpoint()) == Progress.of(None)
