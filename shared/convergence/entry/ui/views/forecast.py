"""The cost of the latest month to its end, from its daily sums: the figures of the report `forecast`."""

from __future__ import annotations

from calendar import monthrange
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from convergence.domain.money import EXACT, exact_sum
from convergence.engine.daily_costs import Group, Row

BY: Final[tuple[Group, ...]] = ("day", "provider", "currency", "daily")
_DIGITS: Final = Decimal("1E-9")  # to which the report rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """One provider's month in one currency. `days`: until the last day with daily charges, 0 without any."""

    provider: str
    currency: str
    charged_until: date
    days: int
    billed: Decimal
    forecast: Decimal


def forecasts(rows: Sequence[Row], currency: str) -> list[Forecast]:
    """Return each provider's month, the largest first: daily charges go on at their mean, others stay as they are.

    `rows` are the daily costs of one month `BY` these.
    """
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["currency"] == currency:
            found[row["provider"]].append(row)
    made = [_forecast(provider, currency, own) for provider, own in found.items()]
    return sorted(made, key=lambda each: (-each.forecast, each.provider))


def _forecast(provider: Any, currency: str, rows: Sequence[Row]) -> Forecast:
    daily = [row for row in rows if row["daily"]]
    until = max(row["day"] for row in rows)
    days = max((row["day"].day for row in daily), default=0)
    billed, recurring = exact_sum(row["cost"] for row in rows), exact_sum(row["cost"] for row in daily)
    rest = monthrange(until.year, until.month)[1] - days
    to_come = EXACT.divide(EXACT.multiply(recurring, Decimal(rest)), Decimal(days)) if days else Decimal(0)
    whole = EXACT.add(billed, to_come).quantize(_DIGITS, rounding=ROUND_HALF_UP, context=EXACT)
    return Forecast(
        provider=provider or "", currency=currency, charged_until=until, days=days, billed=billed, forecast=whole
    )
