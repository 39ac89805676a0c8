"""The costs of an org, from its summary by day: grouped and filtered for the page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, localcontext
from typing import Any, Final, Literal

from convergence.domain.money import EXACT
from convergence.domain.times import to_text
from convergence.engine.daily_costs import Row
from convergence.engine.services import Services
from convergence.entry.ui.formats import plain
from convergence.entry.ui.svg.bars import Chart, stacked
from convergence.entry.ui.views.forecast import Forecast, forecasts
from convergence.entry.ui.views.movers import Mover, movers
from convergence.entry.ui.views.summaries import DIMENSIONS, Dimension, Range, Summaries, Summary

DAYS_MAX: Final = 366
_DAILY_MAX: Final = 93  # days with a bar of their own; of more, each week has one
_SERIES_MAX: Final = 5
_ROWS_MAX: Final = 100
_CHOICES_MAX: Final = 100
FILTER_MAX: Final = 300  # characters of a filter's value
ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the address asks for. `filters` by dimension; empty means all."""

    first: date
    last: date
    by: Dimension
    filters: Mapping[str, str]
    currency: str


@dataclass(frozen=True, slots=True)
class Share:
    """One value of the dimension."""

    name: str
    cost: Decimal
    charges: int
    series: int | None  # its place in the chart, None for what is among the rest


@dataclass(frozen=True, slots=True)
class Span:
    """What a bar stands for: a day or a week, with the amount of each series of the chart, and their total."""

    first: date
    last: date
    amounts: Sequence[Decimal]
    total: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CostsPage:
    """The page. Amounts are in `currency`; amounts of different currencies are never added up.

    `unit` is what a bar stands for, `days` how many the range has.
    """

    asked: Asked
    currency: str
    currencies: Sequence[str]
    total: Decimal
    charges: int
    untagged: Decimal
    unallocated: Decimal
    shares: Sequence[Share]
    hidden: int
    chart: Chart
    unit: Literal["day", "week"]
    days: int
    spans: Sequence[Span]
    choices: Mapping[str, Sequence[str]]
    compared: Sequence[Row]
    compared_total: Mapping[str, Decimal]  # computed, billed, difference
    teams: Sequence[Row]
    teams_total: Decimal
    forecasts: Sequence[Forecast]
    movers: Sequence[Mover]
    latest: date | None  # the last day with charges
    read_at: str | None  # None: nothing was added up yet
    renewing: bool  # newer charges are being added up
    empty: bool


async def costs_page(
    services: Services, summaries: Summaries, org: str, asked: Asked, *, fresh: bool = False
) -> CostsPage:
    """Return the page. Raises `NotFound` for an org that does not exist, `InvalidInput`."""
    await services.orgs.get(org)
    by = {asked.by, *(each for each in DIMENSIONS if asked.filters[each])}
    summary = await summaries.get(services, org, (asked.first, asked.last), by, fresh=fresh)
    with localcontext(EXACT):  # Python's own context keeps 28 digits of a sum
        return _costs_page(summary, asked)


def _costs_page(summary: Summary, asked: Asked) -> CostsPage:
    charges = summary.charges
    currencies = currencies_of(charges)
    currency = asked.currency if asked.currency in currencies else (currencies[0] if currencies else "USD")
    rows = filtered(charges, asked.filters, currency)
    shares = _shares(rows, asked.by)
    teams = [row for row in summary.allocated if row["currency"] == currency]
    if not any(row["is_read"] for row in teams):  # unified/cost does not run here
        teams = []
    compared = [row for row in summary.compared if row["currency"] in (currency, None)]
    ranges = _spans(asked.first, asked.last)
    daily = filtered(summary.daily, asked.filters, currency)
    series = _series(daily, shares, asked.by, {day: first for first, last in ranges for day in _days(first, last)})
    unit: Literal["day", "week"] = "day" if (asked.last - asked.first).days < _DAILY_MAX else "week"
    return CostsPage(
        asked=asked,
        currency=currency,
        currencies=currencies or [currency],
        total=_sum(rows, "cost"),
        charges=sum(row["charges"] for row in rows),
        untagged=_sum(rows, "untagged"),
        unallocated=sum((row["cost"] for row in rows if not row["team"]), ZERO),
        shares=shares[:_ROWS_MAX],
        hidden=max(0, len(shares) - _ROWS_MAX),
        chart=stacked([first for first, _ in ranges], series, with_month=unit == "week"),
        unit=unit,
        days=(asked.last - asked.first).days + 1,
        spans=[_span(first, last, [values for _, values in series]) for first, last in ranges],
        choices={each: _choices(charges, each) for each in DIMENSIONS},
        compared=compared,
        compared_total={name: _sum(compared, name) for name in ("computed", "billed", "difference")},
        teams=teams,
        teams_total=_sum(teams, "cost"),
        forecasts=forecasts(summary.month, currency),
        movers=movers(summary.movers, currency, summary.latest, longest=FILTER_MAX),
        latest=summary.latest,
        read_at=None if summary.read_at is None else to_text(summary.read_at),
        renewing=summary.renewing,
        empty=not charges,
    )


def currencies_of(charges: Sequence[Row]) -> list[str]:
    """Return the currencies, that of most charges first."""
    counted: dict[str, int] = defaultdict(int)
    for row in charges:
        counted[row["currency"]] += row["charges"]
    return sorted(counted, key=lambda name: (-counted[name], name))


def filtered(charges: Sequence[Row], filters: Mapping[str, str], currency: str) -> list[Row]:
    """Return the rows that have every value that is asked for, in one currency."""
    found = [row for row in charges if row["currency"] == currency]
    for name, value in filters.items():
        if value:
            found = [row for row in found if row[name] == value]
    return found


def _choices(charges: Sequence[Row], name: Dimension) -> list[str]:
    """Return the values that a filter offers; what is too long for an address is found by its group only."""
    values = {row[name] for row in charges}
    return sorted(value for value in values if value and len(value) <= FILTER_MAX)[:_CHOICES_MAX]


def _shares(rows: Sequence[Row], by: Dimension) -> list[Share]:
    cost: dict[str, Decimal] = defaultdict(lambda: ZERO)
    charges: dict[str, int] = defaultdict(int)
    for row in rows:
        cost[row[by]] += row["cost"]
        charges[row[by]] += row["charges"]
    names = sorted(cost, key=lambda name: (-cost[name], name))
    shown = len(names) if len(names) <= _SERIES_MAX else _SERIES_MAX - 1
    return [
        Share(name, cost[name], charges[name], place if place < shown else None) for place, name in enumerate(names)
    ]


def _spans(first: date, last: date) -> list[Range]:
    """Return what bars stand for: days, or weeks from Monday to Sunday where there are too many days for a page."""
    if (last - first).days < _DAILY_MAX:
        return [(day, day) for day in _days(first, last)]
    found: list[Range] = []
    while first <= last:
        end = min(last, first + timedelta(days=6 - first.weekday()))
        found.append((first, end))
        first = end + timedelta(days=1)
    return found


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _span(first: date, last: date, series: Sequence[Mapping[date, Decimal]]) -> Span:
    amounts = [values.get(first, ZERO) for values in series]
    return Span(first, last, amounts, sum(amounts, ZERO))


def _series(
    rows: Sequence[Row], shares: Sequence[Share], by: str, starts: Mapping[date, date]
) -> list[tuple[str, Mapping[date, Decimal]]]:
    """Return the amounts of each series by the first day of their bar."""
    place = {share.name: share.series for share in shares}
    named: list[tuple[str, dict[date, Decimal]]] = [
        (share.name, defaultdict(lambda: ZERO)) for share in shares if share.series is not None
    ]
    rest: dict[date, Decimal] = defaultdict(lambda: ZERO)
    for row in rows:
        at = place[row[by]]
        (rest if at is None else named[at][1])[starts[row["day"]]] += row["cost"]
    return [*named, *([("Other", rest)] if rest else [])]


def _sum(rows: Sequence[Row], name: str) -> Decimal:
    return sum((row[name] or ZERO for row in rows), ZERO)


def csv_rows(page_rows: Sequence[Row]) -> list[list[Any]]:
    """Return a file's rows: a heading, then exact amounts by day and group."""
    names, amounts = ("day", *DIMENSIONS, "currency"), ("cost", "charges", "untagged")
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for row in page_rows:
        added = groups.setdefault(tuple(row[name] for name in names), [ZERO, 0, ZERO])
        added[:] = [EXACT.add(added[0], row["cost"]), added[1] + row["charges"], EXACT.add(added[2], row["untagged"])]
    ordered = sorted(groups.items(), key=lambda each: tuple(map(str, each[0])))
    return [[*names, *amounts], *([_cell(value) for value in (*key, *added)] for key, added in ordered)]


def _cell(value: Any) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    text = plain(value) if isinstance(value, Decimal) else str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in "=+-@\t\r" and text else text
