"""What the replay of many dead letters would do: counted, and estimated from a sample; nothing is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from convergence.domain.dead_letter import DeadLetter, DeadLetterState
from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.engine.dead_letters.find import Cause, Filter, pages
from convergence.engine.replay import check_edit
from convergence.engine.services import Services
from convergence.engine.store import read_all_steps, read_plan, read_run
from convergence.ports.documents import Order, Where

_SAMPLE: Final = 100  # runs whose steps are read
_LATEST: Final = 50  # completed runs of an org in which the pipeline's last one is looked for


@dataclass(frozen=True, slots=True)
class ReplaysPlan:
    """How much would be replayed. Steps, slices and rows are those of a sample, scaled up; rows None: not known.

    `steps` would be redone, `slices` (days of the runs) and about `rows` replaced or written.
    """

    runs: int
    orgs: int
    steps: int
    slices: int
    rows: int | None
    causes: list[tuple[Cause, int]]
    complete: bool


async def plan_replays(
    services: Services, criteria: Filter, *, parameters: Mapping[str, Any] | None, latest: bool
) -> ReplaysPlan:
    """Count what a filter finds, and try the edited parameters on the first run.

    Raises:
        InvalidInput: a parameter that the pipeline does not declare, or what `check_edit` raises.
    """
    runs: dict[str, DeadLetter] = {}
    causes: Counter[Cause] = Counter()
    complete = True
    async for page in pages(services, criteria):
        complete = page.cursor is None
        for dead_letter, state in page.found:
            if state is DeadLetterState.OPEN and dead_letter.run_id and not dead_letter.chained:
                runs.setdefault(dead_letter.run_id, dead_letter)
                causes[Cause(dead_letter.code, dead_letter.pipeline, dead_letter.step_id)] += 1
    sample = [stored.run for run_id in list(runs)[:_SAMPLE] if (stored := await read_run(services, run_id)) is not None]
    if sample:
        await check_edit(services, sample[0], parameters, latest=latest)
    scale = len(runs) / max(1, len(sample))
    steps, slices, rows = 0, 0, await _Rows(services).of(sample)
    for run in sample:
        done = {name for name, step in (await read_all_steps(services, run)).items() if step.step.done}
        steps += sum(step.step_id not in done for step in (await read_plan(services, run)).graph)
        slices += days_of(run)
    return ReplaysPlan(
        runs=len(runs),
        orgs=len({dead_letter.org for dead_letter in runs.values()}),
        steps=round(steps * scale),
        slices=round(slices * scale),
        rows=None if rows is None else round(rows * scale),
        causes=sorted(causes.items(), key=lambda item: (-item[1], item[0])),
        complete=complete,
    )


def days_of(run: Run) -> int:
    """Return how many days a run covers; one without dates counts as one."""
    try:
        first, last = (date.fromisoformat(str(run.parameters.get(name))) for name in ("start_date", "end_date"))
    except ValueError:
        return 1
    return max(1, (last - first).days + 1)


class _Rows:
    """Estimates rows by the last completed run of the same org and pipeline, by day."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: dict[tuple[str, str], float | None] = {}

    async def of(self, runs: list[Run]) -> float | None:
        """Return the rows that these runs would write, None when nothing is known about any."""
        found = [(days_of(run), await self._per_day(run)) for run in runs]
        known = [days * rows for days, rows in found if rows is not None]
        return sum(known) / len(known) * len(runs) if known else None

    async def _per_day(self, run: Run) -> float | None:
        key = (run.org, run.pipeline)
        if key not in self._known:
            self._known[key] = await self._look_up(run)
        return self._known[key]

    async def _look_up(self, run: Run) -> float | None:
        where = [Where("org", "==", run.org), Where("status", "==", RunStatus.COMPLETED.value)]
        order = [Order("created_at", descending=True)]
        page = await self._services.documents.query("runs", where=where, order=order, limit=_LATEST)
        for document in page.documents:
            before = Run.from_data(document.data)
            if before.pipeline == run.pipeline and before.totals:  # they are counted a little after the end
                return int(before.totals.get("rows_written", 0)) / days_of(before)
        return None
