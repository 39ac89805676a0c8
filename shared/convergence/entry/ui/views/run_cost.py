"""What the charges of a run that has ended add up to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from convergence.engine.daily_costs import FOCUS
from convergence.engine.services import Services
from convergence.entry.ui.views.cost_queries import ask, days, tables_of
from convergence.errors import ConvergenceError
from convergence.ports.warehouse import Parameter

_KEPT_MAX: Final = 1_000
_MARGIN: Final = timedelta(days=35)  # a charge for a month belongs to its first day
_SQL: Final = """
SELECT BillingCurrency AS currency, SUM(BilledCost) AS cost, COUNT(*) AS charges
FROM cost_data_standard_1_3
WHERE x_run_id = @run AND x_pipeline_run_date BETWEEN @first AND @last
GROUP BY currency
ORDER BY currency
"""


@dataclass(frozen=True, slots=True)
class RunCost:
    """Charges of a run in one currency that are still in the table: a later run may have replaced them."""

    currency: str
    cost: Decimal
    charges: int


class RunCosts:
    """Costs of runs that have ended, by run and epoch."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], Sequence[RunCost]] = OrderedDict()

    async def get(
        self, services: Services, org: str, run_id: str, epoch: int, dates: Mapping[str, str]
    ) -> Sequence[RunCost]:
        """Return the cost of an ended run by currency; nothing for one without dates or without charges.

        It is kept where queries are billed; elsewhere it is what the table has now.
        """
        if services.settings.sole_process:
            return await _read(services, org, run_id, dates)
        key = (run_id, epoch)
        if key not in self._kept:
            self._kept[key] = await _read(services, org, run_id, dates)
            if len(self._kept) > _KEPT_MAX:
                self._kept.popitem(last=False)
        return self._kept[key]


async def _read(services: Services, org: str, run_id: str, dates: Mapping[str, str]) -> Sequence[RunCost]:
    try:
        first, last = (date.fromisoformat(dates[name]) for name in ("start_date", "end_date"))
        if FOCUS not in await tables_of(services, org):
            return ()
        given = {**days(first - _MARGIN, last + _MARGIN), "run": Parameter("STRING", run_id)}
        return [RunCost(row["currency"], row["cost"], row["charges"]) for row in await ask(services, org, _SQL, given)]
    except (KeyError, ValueError, ConvergenceError):  # a run's page must open even where the warehouse does not answer
        return ()
