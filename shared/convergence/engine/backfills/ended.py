"""Take the runs that have ended out of a backfill, and decide their slices."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Final

from convergence.domain.backfill import Backfill, SliceState
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.engine.backfills.create import asked_for
from convergence.engine.backfills.look_up import look_up
from convergence.engine.services import Services
from convergence.errors import ConvergenceError

_ENDED: Final = {
    RunStatus.COMPLETED: SliceState.DONE,
    RunStatus.FAILED: SliceState.FAILED,
    RunStatus.CANCELLED: SliceState.CANCELLED,
}


async def without_ended(services: Services, backfill: Backfill) -> Backfill:
    """Return the backfill with the states of the runs that have ended.

    How a removed run ended is not known, so its slice is open again.
    """
    names = [*backfill.window, *backfill.others]
    if not names:
        return backfill
    documents = await services.documents.get_many([f"runs/{name}" for name in names])
    runs = {
        name: None if document is None else Run.from_data(document.data)
        for name, document in zip(names, documents, strict=True)
    }
    ended = {name: None if run is None else run.status for name, run in runs.items() if run is None or run.terminal}
    edited = [run for name in backfill.others if (run := runs[name]) and run.former and name in ended]
    lost = {index for run in edited for index in await _lost(services, backfill, run)}
    return _without_others(_without_own(backfill, ended), ended, lost)


async def _lost(services: Services, backfill: Backfill, edited: Run) -> list[int]:
    """Return the slices that a run has left undone, since a replay may have given it other days meanwhile."""
    slices, lost = backfill.slices(), []
    for index in backfill.others[edited.run_id]:
        try:
            asked = await asked_for(
                services, backfill.org, backfill.pipeline, backfill.parameters, backfill.credential_id, slices[index]
            )
            (found,) = await look_up(services, asked, [slices[index]])
        except ConvergenceError:  # its pipeline is missing or invalid: the slice's own run reports that
            lost.append(index)
        else:
            lost += [] if found.state in ("complete", "active") else [index]
    return lost


def _without_own(backfill: Backfill, ended: Mapping[str, RunStatus | None]) -> Backfill:
    window = {name: index for name, index in backfill.window.items() if name not in ended}
    states = {
        index: SliceState.OPEN if (status := ended[name]) is None else _ENDED[status]
        for name, index in backfill.window.items()
        if name in ended
    }
    return changed(backfill, states=backfill.with_states(states), window=window)


def _without_others(backfill: Backfill, ended: Mapping[str, RunStatus | None], lost: Set[int]) -> Backfill:
    """A slice that others were at work on is complete when all of them completed; else it gets a run of its own."""
    over = {name: indexes for name, indexes in backfill.others.items() if name in ended}
    again = {index for name, indexes in over.items() if ended[name] is not RunStatus.COMPLETED for index in indexes}
    again |= lost
    left = {
        name: kept
        for name, indexes in backfill.others.items()
        if name not in ended and (kept := [index for index in indexes if index not in again])
    }
    waiting = {index for indexes in left.values() for index in indexes}
    complete = {index for indexes in over.values() for index in indexes} - again - waiting
    states = dict.fromkeys(again, SliceState.OPEN) | dict.fromkeys(complete, SliceState.COMPLETE)
    return changed(backfill, states=backfill.with_states(states), others=left)
