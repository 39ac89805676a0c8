"""The pipelines of an org: their last runs as marks, how often they succeed, when they fire next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from convergence.config.cron import zone
from convergence.config.loader import LoadedPipeline
from convergence.domain.run import Run
from convergence.domain.schedule import Schedule, ScheduleState
from convergence.domain.status import COMPLETED_WITH_WARNINGS, RunStatus
from convergence.domain.times import to_text
from convergence.engine.schedules.store import schedules_of
from convergence.engine.services import Services
from convergence.engine.views.run_search import Search, search_runs
from convergence.entry.ui.formats import dated
from convergence.entry.ui.statuses import PAUSED
from convergence.entry.ui.svg.marks import Mark, Spark, marks, spark
from convergence.entry.ui.views.first_run import FirstRun, first_run, is_setup
from convergence.entry.ui.views.run_rows import RunRow, run_row

MARKS_MAX: Final = 30
TREND_MAX: Final = 14
TABS: Final = ("used", "failing", "active", "warnings", "paused", "unused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """When a schedule fires next. `shifts`: the zone's offset is another one by then."""

    at: str
    local: str
    zone: str
    utc: str
    shifts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRow:
    """One pipeline. `succeeded` and `ended` count among the last runs, without cancelled and skipped ones."""

    path: str
    name: str
    provider: str
    marks: Sequence[Mark]
    summary: str  # of the marks, in words
    last: RunRow | None
    firing: Firing | None
    paused: bool
    succeeded: int
    ended: int
    rows: Spark | None
    durations: Spark | None
    runnable: bool

    @property
    def tab(self) -> str:
        """The list that it belongs to, beside all that are used."""
        if self.last is None and self.firing is None and not self.paused:
            return "unused"
        status = "" if self.last is None else self.last.status
        if status == RunStatus.FAILED:
            return "failing"
        if self.last is not None and self.last.active:
            return "active"
        if status == COMPLETED_WITH_WARNINGS:
            return "warnings"
        return "paused" if self.paused else "used"


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelinesPage:
    """The page. `counts` by tab; `rows` those of the chosen tab, failing first."""

    rows: Sequence[PipelineRow]
    counts: dict[str, int]
    tab: str
    providers: Sequence[str]
    first_run: FirstRun | None  # of an org whose runs have brought nothing yet


async def pipelines_page(
    services: Services, org: str, pipelines: Sequence[LoadedPipeline], *, tab: str, text: str, provider: str
) -> PipelinesPage:
    """Return the page of an org. Raises `NotFound` for an org that does not exist."""
    await services.orgs.get(org)
    now = services.clock.now()
    schedules = [each.schedule for each in await schedules_of(services, org)]
    found = await asyncio.gather(*(_row(services, org, each, schedules, now) for each in pipelines))
    kept = [row for row in found if text.lower() in f"{row.path} {row.name}".lower() and provider in ("", row.provider)]
    rows = sorted(kept, key=lambda row: (TABS.index(row.tab) if row.tab != "used" else 4.5, row.path))
    used = [row for row in rows if row.tab != "unused"]
    counts = {each: sum(row.tab == each for row in rows) for each in TABS} | {"used": len(used)}
    chosen = tab if tab in TABS else "used"
    if chosen == "used" and not used:
        chosen = "unused"
    brought = any(row.last is not None and not is_setup(row.path) for row in found)
    return PipelinesPage(
        rows=used if chosen == "used" else [row for row in rows if row.tab == chosen],
        counts=counts,
        tab=chosen,
        providers=sorted({row.provider for row in found}),
        first_run=None if brought else await first_run(services, org, pipelines),
    )


def next_firing(schedule: Schedule, now: datetime) -> Firing | None:
    """Return when a schedule fires next, in its own zone and in UTC; None for one that does not fire."""
    if schedule.due_at is None or schedule.state is not ScheduleState.ENABLED:
        return None
    where = zone(schedule.timing.timezone)
    local = schedule.due_at.astimezone(where)
    same_day = local.date() == schedule.due_at.date()
    utc = schedule.due_at.strftime("%H:%M UTC") if same_day else dated(schedule.due_at, now, "%H:%M UTC")
    return Firing(
        at=to_text(schedule.due_at),
        local=dated(local, now, "%H:%M"),
        zone=schedule.timing.timezone,
        utc=utc,
        shifts=local.utcoffset() != now.astimezone(where).utcoffset(),
    )


async def _row(
    services: Services, org: str, loaded: LoadedPipeline, schedules: Sequence[Schedule], now: datetime
) -> PipelineRow:
    found = await search_runs(services, org, Search(pipeline=loaded.path), limit=MARKS_MAX)
    runs = [run_row(run, now) for run in found.runs]
    own = [each for each in schedules if each.pipeline == loaded.path]
    firings = [firing for each in own if (firing := next_firing(each, now)) is not None]
    ended = [run for run in found.runs if run.status in (RunStatus.COMPLETED, RunStatus.FAILED)]
    shown, summary = marks([run.status for run in reversed(runs)], MARKS_MAX)
    return PipelineRow(
        path=loaded.path,
        name=loaded.pipeline.name or loaded.path,
        provider=loaded.pipeline.provider,
        marks=shown,
        summary=summary,
        last=runs[0] if runs else None,
        firing=min(firings, key=lambda each: each.at, default=None),
        paused=bool(own) and all(each.state.value == PAUSED for each in own),
        succeeded=sum(run.status is RunStatus.COMPLETED for run in ended),
        ended=len(ended),
        rows=spark([run.totals.get("rows_processed", 0) for run in _trend(ended)]),
        durations=spark([_ms(run) for run in _trend(ended)]),
        runnable=loaded.pipeline.auth_type != "admin_key",
    )


def _trend(ended: Sequence[Run]) -> list[Run]:
    """Return the latest runs, oldest first."""
    return list(reversed(ended[:TREND_MAX]))


def _ms(run: Run) -> int:
    end = run.finished_at or run.created_at
    return max(0, (end - run.created_at) // timedelta(milliseconds=1))
