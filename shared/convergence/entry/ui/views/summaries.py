"""Summaries of costs that pages show: read from the daily sums, kept, and renewed when charges have changed."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

from convergence.domain.times import following_month
from convergence.engine.daily_costs import (
    COMPARED_DAYS,
    FOCUS,
    TABLE,
    Group,
    Row,
    changed_days,
    charges_of,
    largest_changes,
    rebuild,
    renew,
    summed_at,
    summed_costs,
)
from convergence.engine.services import Services
from convergence.entry.ui.views.cost_queries import (
    ALLOCATED,
    COMPARED,
    LATEST,
    TRACKING,
    UNIFIED,
    ask,
    days,
    tables_of,
)
from convergence.entry.ui.views.forecast import BY as FORECAST_BY

logger = logging.getLogger(__name__)
Range = tuple[date, date]  # both days included
Dimension = Literal["provider", "service", "model", "team"]
DIMENSIONS: Final[tuple[Dimension, ...]] = ("provider", "service", "model", "team")
KEPT_BILLED_S: Final = 900.0  # where a query is billed
AT_ONCE_MAX: Final = 100_000  # new charges that a page waits for; more are added up beside it
_KEPT_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The costs of a range, what was compared with bills, the latest month with charges, and the cost by team that
    the rules of allocation gave, and what changed most in the two weeks to the `latest` day.

    `charges` has groups of all dimensions, `daily` the days of at least those that were asked for.
    `read_at`: the figures are those of this moment; None: nothing was added up yet. `renewing`: newer charges are
    being added up.
    """

    read_at: datetime | None
    charges: Sequence[Row]
    daily: Sequence[Row]
    compared: Sequence[Row]
    month: Sequence[Row]
    allocated: Sequence[Row] = ()
    movers: Sequence[Row] = ()
    latest: date | None = None
    renewing: bool = False


class Summaries:
    """Summaries that were read lately, by org and range.

    Where one process owns the warehouse, each look at one compares it with the charges; elsewhere it is kept a while.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, Range, Sequence[Group]], tuple[int, Summary]] = OrderedDict()
        self._renewed: dict[str, int] = defaultdict(int)  # how often sums of an org have changed
        self._moved: OrderedDict[str, tuple[tuple[int, date], list[Row]]] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._beside: dict[str, asyncio.Task[None]] = {}

    async def get(
        self,
        services: Services,
        org: str,
        range_: Range,
        by: Collection[Dimension],
        *,
        fresh: bool = False,
        wait: bool = False,
    ) -> Summary:
        """Return the summary of a range with the days of some dimensions.

        `fresh` makes it again, `wait` is for readers who must have all charges.

        Raises:
            InvalidInput: the range has more groups than a page can add up.
        """
        async with self._locks[org]:  # a second look must not use sums that the first one is renewing
            now, alone = services.clock.now(), services.settings.sole_process
            # Sums are read in a moment. Where each query is billed, one serves whatever is asked for.
            groups = _groups(by) if alone else _groups(DIMENSIONS)
            key = (org, range_, groups)
            stamp, kept = self._kept.get(key, (-1, None))
            if kept is not None and not alone and not fresh and _young(kept, now):
                return kept
            tables = await tables_of(services, org)
            latest = await _latest_day(services, org) if FOCUS in tables else None
            ranges = _ranges(range_, _looked_at(latest)) if latest else []
            behind = alone and await self._renew(services, org, ranges, TABLE in tables, fresh=fresh, wait=wait)
            if behind and TABLE not in tables:
                kept = Summary(read_at=None, charges=(), daily=(), compared=(), month=())
            elif kept is None or not alone or stamp != self._renewed[org]:
                stamp = self._renewed[org]  # before reading: sums may be renewed beside it
                read_at = await summed_at(services, org) if behind else now
                moved = await self._top_movers(services, org, latest, now) if latest else []
                kept = await _read(services, org, range_, groups, latest, moved, read_at)
            compared = await ask(services, org, COMPARED, days(*range_)) if TRACKING in tables else []
            allocated = await ask(services, org, ALLOCATED, days(*range_)) if {FOCUS, UNIFIED} <= tables else []
            found = replace(
                kept,
                read_at=kept.read_at if behind else now,
                compared=compared,
                allocated=allocated,
                renewing=behind,
            )
            self._kept[key] = (stamp, found)
            self._kept.move_to_end(key)
            if len(self._kept) > _KEPT_MAX:
                self._kept.popitem(last=False)
            if behind:
                self._begin(services, org, ranges)  # the last: what this page reads does not wait for it
            return found

    async def idle(self, org: str) -> None:
        """Return when nothing is being added up for an org."""
        if org in self._beside:
            await asyncio.wait([self._beside[org]])

    async def _top_movers(self, services: Services, org: str, latest: date, now: datetime) -> list[Row]:
        """Return what changed most; it is the same for all ranges, so it is asked once until charges have changed."""
        age = self._renewed[org] if services.settings.sole_process else int(now.timestamp() / KEPT_BILLED_S)
        kept = self._moved.get(org)
        if kept is None or kept[0] != (age, latest):
            kept = ((age, latest), await largest_changes(services, org, latest))
            self._moved[org] = kept
            self._moved.move_to_end(org)
            if len(self._moved) > _KEPT_MAX:
                self._moved.popitem(last=False)
        return kept[1]

    async def _renew(
        self, services: Services, org: str, ranges: Sequence[Range], known: bool, *, fresh: bool, wait: bool
    ) -> bool:
        """Bring the sums of an org up to date; return True where there are too many new charges to wait for.

        `known`: the table of sums exists. To make it is a write, which may have to wait for others: where it would be
        filled beside the page, it is made there too.
        """
        if fresh and ranges:
            await rebuild(services, org, *ranges[0])
            self._renewed[org] += 1
        elif not wait and not known and await _count(services, org, ranges) > AT_ONCE_MAX:
            return True
        changed = [each for range_ in ranges for each in await changed_days(services, org, *range_)]
        if not wait and sum(each.charges for each in changed) > AT_ONCE_MAX:
            return True
        if changed:
            await renew(services, org, [each.day for each in changed])
            self._renewed[org] += 1
        return False

    def _begin(self, services: Services, org: str, ranges: Sequence[Range]) -> None:
        """Begin to sum changed days beside the pages, unless that is under way."""
        if org not in self._beside:
            task = asyncio.create_task(self._renew_beside(services, org, ranges))
            self._beside[org] = task
            task.add_done_callback(lambda _: self._beside.pop(org, None))

    async def _renew_beside(self, services: Services, org: str, ranges: Sequence[Range]) -> None:
        """Add charges up while pages show the sums from before; what fails is begun again by the next look."""
        try:
            for range_ in ranges:
                await renew(services, org, [each.day for each in await changed_days(services, org, *range_)])
            self._renewed[org] += 1
        except Exception as error:
            logger.warning("the costs of %s could not be added up: %s", org, error, exc_info=error)


def _groups(by: Collection[Dimension]) -> tuple[Group, ...]:
    return ("day", *(each for each in DIMENSIONS if each in by), "currency")


async def _count(services: Services, org: str, ranges: Sequence[Range]) -> int:
    return sum([await charges_of(services, org, *range_) for range_ in ranges])


def _young(kept: Summary, now: datetime) -> bool:
    return kept.read_at is not None and now - kept.read_at < timedelta(seconds=KEPT_BILLED_S)


async def _read(
    services: Services,
    org: str,
    range_: Range,
    groups: Sequence[Group],
    latest: date | None,
    moved: Sequence[Row],
    read_at: datetime | None,
) -> Summary:
    """Return a summary; without a day with charges there is none."""
    if latest is None:
        return Summary(read_at=read_at, charges=(), daily=(), compared=(), month=())
    daily = await summed_costs(services, org, *range_, by=groups)
    one_read = not services.settings.sole_process
    return Summary(
        read_at=read_at,
        charges=daily if one_read else await summed_costs(services, org, *range_, by=(*DIMENSIONS, "currency")),
        daily=daily,
        compared=(),
        month=await summed_costs(services, org, *_month_of(latest), by=FORECAST_BY),
        movers=moved,
        latest=latest,
    )


async def _latest_day(services: Services, org: str) -> date | None:
    """Return the last day with charges, None without any."""
    (latest,) = await ask(services, org, LATEST, {})
    return None if latest["start"] is None else latest["start"].astimezone(UTC).date()


def _month_of(day: date) -> Range:
    """Return the first and last day of a day's month."""
    begin = day.replace(day=1)
    return begin, following_month(begin) - timedelta(days=1)


def _looked_at(latest: date) -> Range:
    """Return the days that each page looks at whatever it shows: the latest month and the two weeks to `latest`."""
    begin, end = _month_of(latest)
    return min(begin, latest - timedelta(days=COMPARED_DAYS - 1)), end


def _ranges(one: Range, other: Range) -> list[Range]:
    """Return two ranges, as one where they touch."""
    apart = timedelta(days=1)
    if one[0] <= other[1] + apart and other[0] <= one[1] + apart:
        return [(min(one[0], other[0]), max(one[1], other[1]))]
    return [one, other]
