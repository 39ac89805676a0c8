"""What earlier runs made of the slices of a backfill: for each day, the latest run that asked for the same decides."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from convergence.config.loader import LoadedPipeline
from convergence.config.parameters.values import resolve_parameters
from convergence.domain.backfill import Slice
from convergence.domain.run import NO_PLAN, Run
from convergence.domain.status import RunStatus
from convergence.engine.services import Services
from convergence.errors import ConvergenceError
from convergence.ports.documents import Order, Where

_PAGE: Final = 500
_PAGES_MAX: Final = 40  # of runs that are searched for complete slices: 20,000
_STATES: Final = {
    RunStatus.COMPLETED: "complete",
    RunStatus.FAILED: "failed",
    RunStatus.CANCELLED: "failed",
    RunStatus.RUNNING: "active",
    RunStatus.VALIDATING: "active",
    RunStatus.PENDING: "active",
    RunStatus.QUEUED: "active",
}
# A slice has the status of its worst day; one with a missing day is not decided by a run of the others.
_WORST_FIRST: Final = ("failed", "missing", "active", "complete")
# Days are compared as days and credentials by their id; a run that was forced did the same work.
_NOT_COMPARED: Final = frozenset(
    {"date", "start_date", "end_date", "credential_id", "credential_name", "force_refresh"}
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the runs of a backfill ask for; `parameters` and `credential_id` as given, `run` as the first would be."""

    loaded: LoadedPipeline
    parameters: Mapping[str, Any]
    credential_id: str
    run: Run


@dataclass(frozen=True, slots=True)
class Found:
    """A slice and what the last runs of it were: `missing`, `failed`, `complete` or `active`."""

    slice: Slice
    state: str
    rows: int | None  # of the last completed run that covered exactly this slice
    bytes_processed: int | None  # that its statements read in BigQuery; None where no step said so
    runs: tuple[str, ...] = ()  # that are under way for its days, where it is active


@dataclass(slots=True)
class _Days:
    """The days of a range: those that no run has decided yet, sorted, and of the others state and run. As ordinals."""

    left: list[int]
    decided: dict[int, tuple[str, str]] = field(default_factory=dict)
    totals: dict[Slice, Mapping[str, Any]] = field(default_factory=dict)

    def note(self, days: Slice, run: Run, state: str) -> None:
        """Let a run decide the days that are left of its own."""
        low, high = self.between(days)
        if state == "complete" and high - low == (days.end - days.start).days + 1:
            self.totals[days] = run.totals
        self.decided |= dict.fromkeys(self.left[low:high], (state, run.run_id))
        del self.left[low:high]

    def between(self, days: Slice) -> tuple[int, int]:
        """Return where in `left` the days of a run are; a run of other days costs nothing more."""
        return bisect_left(self.left, days.start.toordinal()), bisect_right(self.left, days.end.toordinal())


async def look_up(services: Services, asked: Asked, slices: list[Slice]) -> list[Found]:
    """Return what earlier runs of the pipeline made of each slice, which is complete when each of its days is."""
    days = _Days(list(range(slices[0].start.toordinal(), slices[-1].end.toordinal() + 1)))
    cursor: str | None = None
    for _ in range(_PAGES_MAX):
        page = await services.documents.query(
            "runs",
            where=[Where("org", "==", asked.run.org)],
            order=[Order("created_at", descending=True)],
            limit=_PAGE,
            cursor=cursor,
        )
        for document in page.documents:
            if document.data["pipeline"] == asked.run.pipeline:
                _note(asked, Run.from_data(document.data), days)
        cursor = page.cursor
        if cursor is None or not days.left:
            break
    return [_found(each, days) for each in slices]


def _note(asked: Asked, run: Run, days: _Days) -> None:
    given, state = _parameters(asked.loaded, run), _STATES.get(run.status)
    covered = _covered(given)
    if state is None or covered is None:
        return
    low, high = days.between(covered)
    if low < high and _same_credential(asked, run) and _same(asked, run, given):
        days.note(covered, run, state)


def _parameters(loaded: LoadedPipeline, run: Run) -> Mapping[str, Any]:
    """Return the parameters of a run with defaults and dates, which one that was never admitted does not have yet."""
    if run.plan_epoch != NO_PLAN:
        return run.parameters
    try:
        return resolve_parameters(loaded, run.parameters, fire_time=run.dated, zone=run.timezone or None)
    except ConvergenceError:  # it will fail when its turn comes, or has
        return run.parameters


def _covered(given: Mapping[str, Any]) -> Slice | None:
    try:
        return Slice(date.fromisoformat(given["start_date"]), date.fromisoformat(given["end_date"]))
    except (KeyError, TypeError, ValueError):
        return None


def _same_credential(asked: Asked, run: Run) -> bool:
    if run.plan_epoch == NO_PLAN and run.credential_id == asked.credential_id:
        return True  # both choose when their turn comes
    return run.credential_id == asked.run.credential_id


def _same(asked: Asked, run: Run, given: Mapping[str, Any]) -> bool:
    """Compare a run's parameters with those that the request would have had for the same days at the same moment.

    So defaults that depend on days are the same on both sides. A parameter that the file did not have then had its
    default, and one that it does not have now is ignored. Secrets are neither in a backfill nor readable in a run.
    """
    loaded = asked.loaded
    specs = loaded.pipeline.parameters
    dates = {name: given[name] for name in ("start_date", "end_date")}
    try:
        own = {**asked.parameters, **dates}
        resolved = resolve_parameters(loaded, own, fire_time=run.dated, zone=run.timezone or None)
    except ConvergenceError:
        return False
    known = {*specs, *loaded.pipeline.variables, *loaded.prepared.names}
    secret = {name for name, spec in specs.items() if spec.type == "secret"}
    ignored = _NOT_COMPARED | secret | {loaded.pipeline.execution.force_param}
    for name in {*resolved, *(known & given.keys())} - ignored:
        default = specs[name].default if name in specs and name in asked.parameters else resolved.get(name)
        if given.get(name, default) != resolved.get(name):
            return False
    return True


def _found(of: Slice, days: _Days) -> Found:
    each = [days.decided.get(day, ("missing", "")) for day in range(of.start.toordinal(), of.end.toordinal() + 1)]
    state = min((state for state, _ in each), key=_WORST_FIRST.index)
    totals = days.totals.get(of)
    return Found(
        of,
        state,
        None if totals is None else int(totals.get("rows_written", 0)),
        None if totals is None or totals.get("bytes_processed") is None else int(totals["bytes_processed"]),
        _active(each) if state == "active" else (),
    )


def _active(days: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(run_id for state, run_id in days if state == "active"))
