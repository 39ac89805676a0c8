"""The pages of the dashboard on large data: 10,000 runs, 500 steps, 20,000 log lines, 1,000,000 charges.

Times are of whole requests in this process, without a socket: wall clock, and processor time of all threads, which
other work on the machine does not change. Sizes are of the answers before any compression.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from convergence.bootstrap import Embedded, EmbeddedOptions, embedded
from convergence.config.settings.deployment import Settings
from convergence.engine.daily_costs import FOCUS
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.engine.services import dataset_of
from convergence.entry.api.app import create_app
from convergence.entry.api.runtime import runtime
from convergence.entry.ui.views.summaries import Summaries
from convergence.ports.warehouse import Lineage, Scope, Statement
from tests.bench import engine
from tests.bench.past import fill

CONFIGS: Final = Path(__file__).parents[2] / "configs"
RUNS: Final = 10_000
LINES: Final = 20_000
CHARGES: Final = 1_000_000
_REPEATS: Final = 20
_FIRST: Final = datetime(2026, 10, 1, tzinfo=UTC)
# Thirty days, four providers, five services, eighty models, four teams: 9,600 groups.
_INSERT: Final = """
INSERT INTO cost_data_standard_1_3 (
  BilledCost, BillingAccountId, BillingCurrency, BillingPeriodStart, BillingPeriodEnd, ChargeCategory,
  ChargePeriodStart, ChargePeriodEnd, ContractedCost, EffectiveCost, InvoiceIssuerName, ListCost, ProviderName,
  PublisherName, ServiceCategory, ServiceName, ServiceProviderName, SubAccountName, x_Model, x_ChargeId,
  x_pipeline_run_date)
SELECT CAST(MOD(n, 997) AS BIGNUMERIC) / 1000, 'a', 'USD', TIMESTAMP '2026-10-01', TIMESTAMP '2026-11-01', 'Usage',
  TIMESTAMP_ADD(TIMESTAMP '2026-10-01', INTERVAL MOD(n, 30) DAY),
  TIMESTAMP_ADD(TIMESTAMP '2026-10-02', INTERVAL MOD(n, 30) DAY),
  0, 0, 'p', 0, 'p', 'p', 'AI', CONCAT('service ', CAST(MOD(DIV(n, 30), 5) AS STRING)),
  CONCAT('provider ', CAST(MOD(DIV(n, 30), 4) AS STRING)), CONCAT('team ', CAST(MOD(DIV(n, 2400), 4) AS STRING)),
  CONCAT('model ', CAST(MOD(DIV(n, 30), 80) AS STRING)),
  CONCAT('charge ', CAST(n AS STRING)), DATE '2026-10-01'
FROM UNNEST(GENERATE_ARRAY(1, @count)) AS n
"""


def measure(runs: int = RUNS, charges: int = CHARGES) -> dict[str, Any]:
    """Return of each page milliseconds of wall clock (median, 95th percentile) and of the processor, and kilobytes."""
    with tempfile.TemporaryDirectory() as name:
        root = engine.configs(Path(name))
        shutil.copytree(CONFIGS / "focus", root / "focus")
        asyncio.run(fill(root, finished=runs, unfinished=0))
        return {"shape": "dashboard", "runs": runs, "charges_stored": charges, **asyncio.run(_pages(root, charges))}


async def _pages(root: Path, charges: int) -> dict[str, Any]:
    async with embedded(EmbeddedOptions(data_dir=root / "data", configs_dir=root), "bench") as opened:
        await opened.worker.start()
        wide = await dispatch(opened.services, RunRequest(org="org0", pipeline="bench/shape/fan"))
        await opened.worker.wait("org0", wide.run_id)
        await _charge(opened, charges)
        lines = _log()
        settings = Settings(DISABLE_AUTH=True, RATE_LIMIT_ENABLED=False)

        async def wait(org: str, run_id: str, seconds: float) -> Any:
            return await opened.worker.wait(org, run_id, timeout_s=seconds)

        app = create_app(runtime(opened.services, settings, wait=wait, log_lines=lambda _: lines))
        range_ = "from=2026-10-01&to=2026-10-30"
        pages = {
            "pipelines": "/ui/org0/pipelines",
            "history": "/ui/org0/pipelines/history",
            "history_filtered": "/ui/org0/pipelines/history?trigger=schedule",
            "run": f"/ui/org0/runs/{wide.run_id}",
            "costs": f"/ui/org0/costs?{range_}&by=model",
            "charges": f"/ui/org0/costs/charges?{range_}",
        }
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            await _timed(client, pages["pipelines"])  # templates are compiled
            found = {"costs_with_new_charges": _shown([await _timed(client, pages["costs"])])}
            await app.state.summaries.idle("org0")
            app.state.summaries = Summaries()
            found["costs_after_a_restart"] = _shown([await _timed(client, pages["costs"])])
            return found | {name: await _measured(client, path) for name, path in pages.items()}


class Took(NamedTuple):
    """One request: milliseconds of wall clock and of the processor, and bytes."""

    wall_ms: float
    processor_ms: float
    size: int


async def _measured(client: httpx.AsyncClient, path: str) -> dict[str, float]:
    return _shown([await _timed(client, path) for _ in range(_REPEATS)])


def _shown(took: Sequence[Took]) -> dict[str, float]:
    wall = sorted(each.wall_ms for each in took)
    processor = sorted(each.processor_ms for each in took)
    return {
        "ms": round(wall[len(wall) // 2], 1),
        "p95_ms": round(wall[max(0, int(len(wall) * 0.95) - 1)], 1),
        "processor_ms": round(processor[len(processor) // 2], 1),
        "kb": round(took[0].size / 1_000, 1),
    }


async def _timed(client: httpx.AsyncClient, path: str) -> Took:
    begun, busy = time.perf_counter(), time.process_time()
    answer = await client.get(path)
    took = Took((time.perf_counter() - begun) * 1_000, (time.process_time() - busy) * 1_000, len(answer.content))
    assert answer.status_code == 200, answer.text[:500]
    return took


async def _charge(opened: Embedded, count: int) -> None:
    services = opened.services
    dataset = dataset_of(services, "org0")
    await services.warehouse.ensure_dataset(dataset)
    await services.warehouse.ensure_table(dataset, services.schemas.get(FOCUS))
    lineage = Lineage(org_slug="org0", pipeline_id="p", credential_id="", run_id="run_1", ingested_at=_FIRST)
    sql = _INSERT.replace("@count", str(count))
    scope = Scope(dataset=dataset, writable=True, lineage=lineage)
    await services.warehouse.query(Statement(sql, scope=scope, job_id="charges"))


def _log() -> list[dict[str, Any]]:
    return [
        {"at": f"2026-11-28T00:00:00.{n:06}Z", "level": "INFO", "step_id": f"work_{n % 500}", "message": f"line {n}"}
        for n in range(LINES)
    ]
