"""The figures that the demo shows, read from the org's tables with plain SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from convergence.domain.run import Run
from convergence.engine.services import Services, dataset_of
from convergence.ports.warehouse import Parameter, Scope, Statement

_OF_RUN: Final = """
  x_pipeline_id = @pipeline_id AND x_credential_id = @credential_id
  AND x_pipeline_run_date BETWEEN @first AND @last
"""
COSTS_SQL: Final = f"""
SELECT COALESCE(x_Model, SkuMeter, ChargeDescription) AS model, DATE(ChargePeriodStart) AS day,
  SUM(BilledCost) AS cost, COUNT(*) AS charges
FROM cost_data_standard_1_3
WHERE {_OF_RUN}
GROUP BY model, day
ORDER BY model, day
"""  # noqa: S608 - two constants of this file
RECONCILIATION_SQL: Final = f"""
SELECT reason, explanation, COALESCE(model, charge_kind) AS what, charge_kind,
  SUM(computed_cost) AS computed, SUM(provider_cost) AS billed, SUM(difference) AS difference
FROM openai_cost_daily_reconciled
WHERE {_OF_RUN}
GROUP BY reason, explanation, what, charge_kind
ORDER BY reason, what, charge_kind
"""  # noqa: S608 - two constants of this file

Row = Mapping[str, Any]


@dataclass(slots=True)
class Sums:
    """One reason's part of the comparison, in USD; `difference` is billed minus computed."""

    lines: int = 0
    computed: Decimal = Decimal(0)
    billed: Decimal = Decimal(0)
    difference: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Figures:
    """Cost per model and day, and where computation and bill differ. Money is Decimal, in USD."""

    costs: list[Row]  # model, day, cost, charges
    differences: list[Row]  # reason, explanation, what, charge_kind, computed, billed, difference

    @property
    def total(self) -> Decimal:
        """All charges."""
        return sum((row["cost"] for row in self.costs), Decimal(0))

    @property
    def days(self) -> list[date]:
        """The days that have charges, in order."""
        return sorted({row["day"] for row in self.costs})

    def by_reason(self) -> dict[str, Sums]:
        """Sum up the comparison by reason, the largest difference first."""
        found: dict[str, Sums] = {}
        for row in self.differences:
            sums = found.setdefault(row["reason"], Sums())
            sums.lines += 1
            sums.computed += row["computed"] or 0
            sums.billed += row["billed"] or 0
            sums.difference += row["difference"]
        return dict(sorted(found.items(), key=lambda item: -abs(item[1].difference)))


async def figures(services: Services, run: Run) -> Figures:
    """Ask for the figures of the days of `run`."""
    parameters = {
        "pipeline_id": Parameter("STRING", run.pipeline_id),
        "credential_id": Parameter("STRING", run.credential_id),
        "first": Parameter("DATE", date.fromisoformat(run.parameters["start_date"])),
        "last": Parameter("DATE", date.fromisoformat(run.parameters["end_date"])),
    }
    scope = Scope(dataset=dataset_of(services, run.org))
    costs = await services.warehouse.query(Statement(COSTS_SQL, parameters, scope=scope))
    differences = await services.warehouse.query(Statement(RECONCILIATION_SQL, parameters, scope=scope))
    return Figures(list(costs.rows), list(differences.rows))
