"""The history of an org's runs, filtered, and what a bulk action would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from convergence.domain.run import Run
from convergence.domain.status import RUN_REPLAY
from convergence.engine.services import Services
from convergence.engine.store import require_run
from convergence.engine.views.run_search import Search, search_runs
from convergence.entry.ui.views.run_rows import RunRow, run_row

PAGE: Final = 50
CHOSEN_MAX: Final = 50
Act = Literal["replay", "cancel"]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A page of runs; `cursor` leads to older ones."""

    rows: Sequence[RunRow]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """A chosen run: what would happen to it, or what did."""

    run_id: str
    status: str
    able: bool
    effect: str


async def history_page(services: Services, org: str, search: Search, cursor: str | None) -> HistoryPage:
    """Return a page. Raises `NotFound` for an org that does not exist, `InvalidInput` for an unknown cursor."""
    await services.orgs.get(org)
    found = await search_runs(services, org, search, limit=PAGE, cursor=cursor)
    now = services.clock.now()
    return HistoryPage([run_row(run, now) for run in found.runs], found.cursor)


async def chosen_runs(services: Services, org: str, run_ids: Sequence[str], act: Act) -> list[Chosen]:
    """Return what an action would do to each run, changing nothing. Raises `NotFound` for another org's run."""
    runs = [(await require_run(services, org, run_id)).run for run_id in dict.fromkeys(run_ids[:CHOSEN_MAX])]
    return [chosen(run, act) for run in runs]


def chosen(run: Run, act: Act) -> Chosen:
    """Return what an action would do to one run."""
    able = run.status in RUN_REPLAY if act == "replay" else not run.terminal
    would = "start again where it stopped" if act == "replay" else "stop; finished steps keep their results"
    return Chosen(run.run_id, run.outcome, able, would if able else f"stay as it is: {run.status}")
