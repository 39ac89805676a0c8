"""How good an org's data is: verdicts of checks and of the gate, quarantine, freshness, and billing periods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

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
SELECT source, model, step_id, status, rows_checked, rows_failed, detail, checked_at, x_run_id AS run_id
FROM org_meta_focus_results
WHERE x_pipeline_run_date BETWEEN @first AND @last AND rule_id = '*'
ORDER BY checked_at DESC, source, step_id
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
# Only of the latest check of each step: a rule that warns is broken again every day.
_BROKEN: Final = """
SELECT source, step_id, rule_id, column_name, status, policy, rows_checked, rows_failed, detail
FROM (
  SELECT * FROM org_meta_focus_results
  WHERE x_pipeline_run_date BETWEEN @first AND @last
  QUALIFY x_run_id = FIRST_VALUE(x_run_id) OVER (PARTITION BY source, step_id ORDER BY checked_at DESC, x_run_id)
)
WHERE rule_id <> '*' AND status NOT IN ('waived', 'skipped')
ORDER BY source, step_id, rule_id
"""


class GateVerdict(NamedTuple):
    """The latest verdict of the gate on one source, and the rules that its charges break."""

    row: Row
    broken: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityPage:
    """The page; each list is empty where nothing was recorded. Of checks, `verdicts` are those that did not pass."""

    verdicts: Sequence[Row]
    passed: Sequence[Row]
    failed: int
    gate: Sequence[GateVerdict]
    gate_before: Sequence[Row]
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
    broken = await ask(services, org, _BROKEN, range_, rows_max=_ROWS_MAX) if _GATE in tables else []
    latest = {(row["source"], row["step_id"]): row for row in reversed(found[_GATE])}
    return QualityPage(
        verdicts=[row for row in found[_VERDICTS] if row["status"] != "passed"],
        passed=[row for row in found[_VERDICTS] if row["status"] == "passed"],
        failed=sum(row["status"] == "failed" for row in found[_VERDICTS]),
        gate=[
            GateVerdict(row, [each for each in broken if (each["source"], each["step_id"]) == key])
            for key, row in sorted(latest.items())
        ],
        gate_before=[row for row in found[_GATE] if latest[row["source"], row["step_id"]] is not row],
        quarantine=found[_QUARANTINE],
        freshness=found[FOCUS],
        periods=await period_rows(services, org),
    )
