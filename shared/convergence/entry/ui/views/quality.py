"""How good an org's data is: verdicts of checks and of the gate, quarantine, freshness, and billing periods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from convergence.engine.daily_costs import FOCUS, RANGE, Row
from convergence.engine.services import Services
from convergence.entry.ui.views.cost_queries import ask, days, tables_of
from convergence.entry.ui.views.periods import DAYS, PeriodRow, period_rows

_VERDICTS: Final = "org_meta_dq_results"
_GATE: Final = "org_meta_focus_results"
_QUARANTINE: Final = "org_meta_quarantine_rows"
_ROWS_MAX: Final = 100
_SQL: Final = {
    _VERDICTS: """
SELECT check_name, check_type, table_name, step_id, status, on_fail, rows_checked, rows_failed, detail, checked_at,
  x_run_id AS run_id
FROM org_meta_dq_results
WHERE DATE(checked_at) BETWEEN @first AND @last
ORDER BY checked_at DESC, check_name
""",
    _QUARANTINE: """
SELECT table_name, step_id, reason, COUNT(*) AS rows_kept, MAX(x_ingested_at) AS latest, MAX(x_run_id) AS run_id
FROM org_meta_quarantine_rows
WHERE x_pipeline_run_date BETWEEN @first AND @last
GROUP BY table_name, step_id, reason
ORDER BY rows_kept DESC, table_name, reason
""",
    _GATE: """
SELECT source, model, step_id, rule_id, column_name, status, policy, rows_checked, rows_failed, detail, checked_at,
  x_run_id AS run_id
FROM org_meta_focus_results
WHERE x_pipeline_run_date BETWEEN @first AND @last AND status NOT IN ('waived', 'skipped')
ORDER BY checked_at DESC, source, rule_id
""",
    FOCUS: f"""
SELECT ServiceProviderName AS provider, MAX(ChargePeriodStart) AS last_start, MAX(x_ingested_at) AS written_at,
  COUNT(*) AS charges
FROM cost_data_standard_1_3
WHERE {RANGE}
GROUP BY provider
ORDER BY provider
""",  # noqa: S608 - constants
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityPage:
    """The page; each list is empty where nothing was recorded."""

    verdicts: Sequence[Row]
    failed: int
    gate: Sequence[Row]
    quarantine: Sequence[Row]
    freshness: Sequence[Row]
    periods: Sequence[PeriodRow]


async def quality_page(services: Services, org: str) -> QualityPage:
    """Return what was recorded in the last three months. Raises `NotFound` for an org that does not exist."""
    await services.orgs.get(org)
    tables, last = await tables_of(services, org), services.clock.now().date()
    range_ = days(last - timedelta(days=DAYS), last)
    found: dict[str, list[Row]] = {}
    for table, sql in _SQL.items():
        found[table] = await ask(services, org, sql, range_, rows_max=_ROWS_MAX) if table in tables else []
    return QualityPage(
        verdicts=found[_VERDICTS],
        failed=sum(row["status"] == "failed" for row in found[_VERDICTS]),
        gate=found[_GATE],
        quarantine=found[_QUARANTINE],
        freshness=found[FOCUS],
        periods=await period_rows(services, org),
    )
