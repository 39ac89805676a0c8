"""A FOCUS file of 47 columns into a table with lineage and all checks, beside DuckDB's own reading of the same file."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any, Final

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.processors.generic.file_extractor import FileExtractor
from tests.unit.processors.step_world import ManualClock, WorldContext

SAMPLE: Final = Path(__file__).parents[1] / "unit/processors/bill_files/focus_1.0_sample_1000.csv"
ADDED: Final = {"x_Team": "ops", "x_Rate": "1.5", "x_Note": "none"}
FLOOR: Final = """
import duckdb, sys, time
database = duckdb.connect(sys.argv[1], config={"threads": 2, "memory_limit": "160MiB"})
started, used = time.perf_counter(), time.process_time()
database.execute(f"CREATE TABLE bill AS SELECT * FROM {sys.argv[2]}('{sys.argv[3]}')")
print(time.perf_counter() - started, time.process_time() - used)
"""
CONVERT: Final = """
import duckdb, sys
database = duckdb.connect(config={"threads": 1, "memory_limit": "400MiB"})
rows = f"SELECT * FROM read_csv('{sys.argv[1]}', nullstr = ['NULL', ''])"
database.execute(f"COPY ({rows}) TO '{sys.argv[2]}' (FORMAT parquet, COMPRESSION zstd)")
"""


def measure(kind: str = "csv", rows: int = 1_000_000) -> dict[str, Any]:
    """Return rows per second, those of DuckDB's own `CREATE TABLE AS` of the file, their ratio, and peak memory.

    `of_copy` compares with `CREATE TABLE AS` of the finished table: the same rows, columns and types, without a check.
    """
    with tempfile.TemporaryDirectory(prefix="bench-file-") as name:
        folder = Path(name)
        delivered = folder / "files/acme/bills"
        delivered.mkdir(parents=True)
        file = delivered / "bill.csv.gz"
        made = _write(file, rows)
        if kind == "parquet":
            parquet = file.with_name("bill.parquet")
            subprocess.run([sys.executable, "-c", CONVERT, file, parquet], check=True)
            file.unlink()
            file = parquet
        reader = "read_parquet" if kind == "parquet" else "read_csv"
        floor = [sys.executable, "-c", FLOOR, str(folder / "floor.duckdb"), reader, str(file)]
        printed = subprocess.run(floor, check=True, capture_output=True, text=True).stdout.split()
        floor_s, floor_used = map(float, printed[-2:])
        seconds, used, copy_s, peak_kib = asyncio.run(_load(folder, made))
    return {
        "shape": f"file-{kind}",
        "rows": made,
        "rows_per_s": round(made / seconds),
        "floor_rows_per_s": round(made / floor_s),
        "of_floor": round(floor_s / seconds, 2),
        "of_floor_in_processor_time": round(floor_used / used, 2),
        "of_copy": round(copy_s / seconds, 2),
        "peak_mib": peak_kib // 1024,
    }


def _write(file: Path, rows: int) -> int:
    """Repeat the sample's rows of September that have all costs."""
    with SAMPLE.open(encoding="utf-8", newline="") as lines:
        sample = list(csv.DictReader(lines))
    good = [row for row in sample if row["ContractedCost"] != "NULL" and row["BillingPeriodStart"] < "2024-10"]
    head, body = io.StringIO(), io.StringIO()
    csv.DictWriter(head, [*good[0], *ADDED], lineterminator="\n").writeheader()
    csv.DictWriter(body, [*good[0], *ADDED], lineterminator="\n").writerows(row | ADDED for row in good)
    block, times = body.getvalue().encode(), rows // len(good)
    with gzip.open(file, "wb", compresslevel=1) as out:
        out.write(head.getvalue().encode())
        for _ in range(times):
            out.write(block)
    return times * len(good)


async def _load(folder: Path, rows: int) -> tuple[float, float, float, int]:
    """Return the load's seconds, seconds of processor time, seconds in which DuckDB copies the table, and peak KiB."""
    clock = ManualClock()
    warehouse = DuckDbWarehouse(folder / "warehouse.duckdb", clock=clock)
    day = {"start_date": date(2024, 9, 10), "end_date": date(2024, 9, 10)}
    context = WorldContext(None, warehouse, clock, **day)
    context.files = folder / "files"
    step = {
        "source": {"kind": "folder", "path": "bills/"},
        "config": {
            "period": "month",
            "period_column": "BillingPeriodStart",
            "null_texts": ["", "NULL"],
            "constants": {"source_format": "focus"},
            "optional_columns": ["*"],
            "unknown_columns": "keep",
        },
        "destination": {"table": "focus_billing_daily_raw", "date_field": "ChargePeriodStart"},
    }
    try:
        started, used = time.perf_counter(), time.process_time()
        result = await FileExtractor().execute(step, context)
        seconds, used = time.perf_counter() - started, time.process_time() - used
        assert result["rows_written"] == rows, result
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        copy = "CREATE TABLE copy AS SELECT * FROM acme_test.focus_billing_daily_raw"
        started = time.perf_counter()
        await warehouse.session.write(lambda job: job.execute(copy))
        return seconds, used, time.perf_counter() - started, peak_kib
    finally:
        warehouse.close()
