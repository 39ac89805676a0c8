"""A stored procedure of 20 statements on 100,000 rows, and the same statements written for DuckDB by hand."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import statistics
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.ports.warehouse import Parameter, ProcedureCall, Routine, Scope, Statement

ROWS: Final = 100_000
ROUNDS: Final = 5
SCOPE: Final = Scope(dataset="d", writable=True)
# Each pair: GoogleSQL with the procedure's parameters, and DuckDB with values.
PAIRS: Final = (
    (
        "DELETE FROM daily WHERE day BETWEEN p_from AND p_to",
        "DELETE FROM d.daily WHERE day BETWEEN DATE '2026-01-01' AND DATE '2026-01-31'",
    ),
    (
        "INSERT INTO daily (day, model, tokens, cost) SELECT day, model, SUM(tokens), SUM(tokens * price) FROM usage"
        " WHERE day BETWEEN p_from AND p_to GROUP BY day, model",
        "INSERT INTO d.daily (day, model, tokens, cost) SELECT day, model, CAST(SUM(tokens) AS BIGINT),"
        " SUM(CAST(tokens * price AS DECIMAL(38, 9))) FROM d.usage"
        " WHERE day BETWEEN DATE '2026-01-01' AND DATE '2026-01-31' GROUP BY day, model",
    ),
    (
        "UPDATE daily SET cost = ROUND(cost * 1.1, 6) WHERE model LIKE 'm1%' AND day >= p_from",
        "UPDATE d.daily SET cost = CAST(round(CAST(cost * 1.1 AS DECIMAL(38, 9)), 6) AS DECIMAL(38, 9))"
        " WHERE model LIKE 'm1%' AND day >= DATE '2026-01-01'",
    ),
    (
        "INSERT INTO monthly (month, model, cost) SELECT DATE_TRUNC(day, MONTH), model, SUM(tokens * price) FROM usage"
        " WHERE COALESCE(JSON_VALUE(labels, '$.env'), 'none') = 'prod' GROUP BY 1, 2",
        "INSERT INTO d.monthly (month, model, cost) SELECT CAST(date_trunc('month', day) AS DATE), model,"
        " SUM(CAST(tokens * price AS DECIMAL(38, 9))) FROM d.usage"
        " WHERE COALESCE(json_extract_string(json_value(CASE WHEN json_valid(labels) THEN labels END, '$.env'), '$'),"
        " 'none') = 'prod' GROUP BY 1, 2",
    ),
    (
        "DELETE FROM monthly WHERE month < DATE_SUB(p_from, INTERVAL 3 MONTH)",
        "DELETE FROM d.monthly WHERE month < CAST(DATE '2026-01-01' - INTERVAL 3 MONTH AS DATE)",
    ),
)
TABLES: Final = (
    "CREATE TABLE usage (day DATE, model STRING, tokens INT64, price NUMERIC, labels STRING)",
    "CREATE TABLE daily (day DATE, model STRING, tokens INT64, cost NUMERIC)",
    "CREATE TABLE monthly (month DATE, model STRING, cost NUMERIC)",
    "INSERT INTO usage SELECT DATE_ADD(DATE '2026-01-01', INTERVAL MOD(n, 31) DAY),"
    " CONCAT('m', CAST(MOD(n, 20) AS STRING)),"
    ' MOD(n * 37, 5000), NUMERIC \'0.0000025\', IF(MOD(n, 3) = 0, \'{"env": "prod"}\', \'{"env": "test"}\')'
    f" FROM UNNEST(GENERATE_ARRAY(1, {ROWS})) AS n",
)


class _Clock:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run() -> dict[str, Any]:
    """Return seconds of the call and of the statements by hand (medians), and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_run(Path(folder)))


async def _run(folder: Path) -> dict[str, Any]:
    warehouse = DuckDbWarehouse(folder / "warehouse.duckdb", clock=_Clock(), project="p")
    with contextlib.closing(warehouse):
        await warehouse.ensure_dataset("d")
        for table in TABLES:
            await warehouse.query(Statement(table, scope=SCOPE))
        body = "\n".join(f"{google};" for _ in range(4) for google, _ in PAIRS)
        text = f"CREATE PROCEDURE d.sp(p_from DATE, p_to DATE)\nBEGIN\n{body}\nEND"
        await warehouse.sync_routines([Routine("sp", "1", "sp.sql", text)])
        called, direct = [], []
        for number in range(ROUNDS + 1):  # the first call translates
            called.append(await _seconds_of_call(warehouse, f"job{number}"))
            direct.append(await warehouse.session.write(_seconds_by_hand))
    seconds, floor = statistics.median(called[1:]), statistics.median(direct[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "shape": "procedure",
        "rows": ROWS,
        "statements": 4 * len(PAIRS),
        "seconds": round(seconds, 4),
        "first_call_seconds": round(called[0], 4),
        "floor_seconds": round(floor, 4),
        "ratio_to_floor": round(seconds / floor, 2),
        "peak_rss_mib": round(peak),
    }


async def _seconds_of_call(warehouse: DuckDbWarehouse, job_id: str) -> float:
    arguments = {"p_from": Parameter("DATE", date(2026, 1, 1)), "p_to": Parameter("DATE", date(2026, 1, 31))}
    begun = time.perf_counter()
    await warehouse.call(ProcedureCall("sp", arguments, scope=SCOPE, job_id=job_id))
    return time.perf_counter() - begun


def _seconds_by_hand(job: Any) -> float:
    begun = time.perf_counter()
    with job.transaction():
        for _ in range(4):
            for _google, duckdb in PAIRS:
                job.execute(duckdb)
    return time.perf_counter() - begun
