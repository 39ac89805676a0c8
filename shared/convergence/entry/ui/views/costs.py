"""The costs of an org: a summary by day that is kept for a while, grouped and filtered for the page."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from convergence.engine.services import Services
from convergence.entry.ui.formats import plain
from convergence.entry.ui.svg.bars import Chart, stacked
from convergence.entry.ui.views.cost_queries import (
    COMPARED,
    FOCUS,
    GROUPS_MAX,
    SUMMARY,
    TRACKING,
    Row,
    ask,
    days,
    tables_of,
)
from convergence.errors import InvalidInput

DIMENSIONS: Final = ("provider", "service", "model", "team")
DAYS_MAX: Final = 366
KEPT_S: Final = 60.0  # embedded; reading the summary again costs nothing but time
KEPT_BILLED_S: Final = 900.0  # where a query is billed
_KEPT_MAX: Final = 64
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
    by: str
    filters: Mapping[str, str]
    currency: str


@dataclass(frozen=True, slots=True)
class Share:
    """One value of the dimension."""

    name: str
    cost: Decimal
    charges: int
    series: int | None  # its place in the chart, None for what is among the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class CostsPage:
    """The page. Amounts are in `currency`; amounts of different currencies are never added up."""

    asked: Asked
    currencies: Sequence[str]
    total: Decimal
    charges: int
    untagged: Decimal
    unallocated: Decimal
    shares: Sequence[Share]
    hidden: int
    chart: Chart
    by_day: Sequence[tuple[date, Decimal]]
    choices: Mapping[str, Sequence[str]]
    compared: Sequence[Row]
    read_at: datetime
    empty: bool


class Summaries:
    """Summaries that were read lately, by org and range."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, date, date], tuple[datetime, list[Row], list[Row]]] = OrderedDict()

    async def get(
        self, services: Services, org: str, first: date, last: date, *, fresh: bool = False
    ) -> tuple[datetime, list[Row], list[Row]]:
        """Return when it was read, the charges by day and group, and what was compared with bills.

        Raises:
            InvalidInput: the range has more groups than a page can add up.
        """
        now, key = services.clock.now(), (org, first, last)
        kept = self._kept.get(key)
        longest = KEPT_S if services.settings.sole_process else KEPT_BILLED_S
        if kept is not None and not fresh and now - kept[0] < timedelta(seconds=longest):
            return kept
        tables, range_ = await tables_of(services, org), days(first, last)
        charges = await ask(services, org, SUMMARY, range_) if FOCUS in tables else []
        if len(charges) >= GROUPS_MAX:
            raise InvalidInput(f"these days have more than {GROUPS_MAX:,} groups of charges; choose fewer days")
        compared = await ask(services, org, COMPARED, range_) if TRACKING in tables else []
        self._kept[key] = found = (now, charges, compared)
        self._kept.move_to_end(key)
        if len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)
        return found


async def costs_page(services: Services, summaries: Summaries, org: str, asked: Asked, *, fresh: bool) -> CostsPage:
    """Return the page. Raises `NotFound` for an org that does not exist, `InvalidInput`."""
    await services.orgs.get(org)
    read_at, charges, compared = await summaries.get(services, org, asked.first, asked.last, fresh=fresh)
    counted: dict[str, int] = defaultdict(int)
    for row in charges:
        counted[row["currency"]] += row["charges"]
    currencies = sorted(counted, key=lambda name: (-counted[name], name))
    currency = asked.currency if asked.currency in counted else (currencies[0] if currencies else "USD")
    rows = filtered(charges, asked.filters, currency)
    shares = _shares(rows, asked.by)
    by_day: dict[date, Decimal] = defaultdict(lambda: ZERO)
    for row in rows:
        by_day[row["day"]] += row["cost"]
    dates = [asked.first + timedelta(days=n) for n in range((asked.last - asked.first).days + 1)]
    return CostsPage(
        asked=asked,
        currencies=currencies or [currency],
        total=_sum(rows, "cost"),
        charges=sum(row["charges"] for row in rows),
        untagged=_sum(rows, "untagged"),
        unallocated=sum((row["cost"] for row in rows if not row["team"]), ZERO),
        shares=shares[:_ROWS_MAX],
        hidden=max(0, len(shares) - _ROWS_MAX),
        chart=stacked(dates, _series(rows, shares, asked.by)),
        by_day=[(day, by_day[day]) for day in dates],
        choices={each: _choices(charges, each) for each in DIMENSIONS},
        compared=[row for row in compared if row["currency"] in (currency, None)],
        read_at=read_at,
        empty=not charges,
    )


def filtered(charges: Sequence[Row], filters: Mapping[str, str], currency: str) -> list[Row]:
    """Return the rows that have every value that is asked for, in one currency."""
    return [
        row
        for row in charges
        if row["currency"] == currency and all(value in ("", row[name]) for name, value in filters.items())
    ]


def _choices(charges: Sequence[Row], name: str) -> list[str]:
    """Return the values that a filter offers; what is too long for an address is found by its group only."""
    return sorted({str(row[name]) for row in charges if row[name] and len(row[name]) <= FILTER_MAX})[:_CHOICES_MAX]


def _shares(rows: Sequence[Row], by: str) -> list[Share]:
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


def _series(rows: Sequence[Row], shares: Sequence[Share], by: str) -> list[tuple[str, Mapping[date, Decimal]]]:
    place = {share.name: share.series for share in shares}
    named: list[tuple[str, dict[date, Decimal]]] = [
        (share.name, defaultdict(lambda: ZERO)) for share in shares if share.series is not None
    ]
    rest: dict[date, Decimal] = defaultdict(lambda: ZERO)
    for row in rows:
        at = place[row[by]]
        (rest if at is None else named[at][1])[row["day"]] += row["cost"]
    return [*named, *([("Other", rest)] if rest else [])]


def _sum(rows: Sequence[Row], name: str) -> Decimal:
    return sum((row[name] or ZERO for row in rows), ZERO)


def csv_rows(page_rows: Sequence[Row]) -> list[list[Any]]:
    """Return a file's rows: a heading, then exact amounts by day and group."""
    names = ("day", *DIMENSIONS, "currency", "cost", "charges", "untagged")
    ordered = sorted(page_rows, key=lambda row: tuple(str(row[name]) for name in names[:6]))
    return [list(names), *([_cell(row[name]) for name in names] for row in ordered)]


def _cell(value: Any) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    text = plain(value) if isinstance(value, Decimal) else str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in "=+-@\t\r" and text else text
