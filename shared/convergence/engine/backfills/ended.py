"""Take the runs that have ended out of a backfill, and decide their slices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from convergence.domain.backfill import Backfill, SliceState
from convergence.domain.records import changed
from convergence.domain.status import RunStatus
from convergence.engine.services import Services

_ENDED: Final = {
    RunStatus.COMPLETED: SliceState.DONE,
    RunStatus.FAILED: SliceState.FAILED,
    RunStatus.CANCELLED: SliceState.CANCELLED,
}


async def without_ended(services: Services, backfill: Backfill) -> Backfill:
    """Return the backfill with the states of the runs that have ended; one that is gone counts as ended."""
    names = [*backfill.window, *backfill.others]
    if not names:
        return backfill
    documents = await services.documents.get_many([f"runs/{name}" for name in names])
    ended = {
        name: None if document is None else RunStatus(document.data["status"])
        for name, document in zip(names, documents, strict=True)
        if document is None or RunStatus(document.data["status"]) in _ENDED
    }
    return _without_others(_without_own(backfill, ended), ended)


def _without_own(backfill: Backfill, ended: Mapping[str, RunStatus | None]) -> Backfill:
    window = {name: index for name, index in backfill.window.items() if name not in ended}
    states = {
        index: SliceState.DONE if (status := ended[name]) is None else _ENDED[status]
        for name, index in backfill.window.items()
        if name in ended
    }
    return changed(backfill, states=backfill.with_states(states), window=window)


def _without_others(backfill: Backfill, ended: Mapping[str, RunStatus | None]) -> Backfill:
    """A slice that others were at work on is complete when all of them completed; else it gets a run of its own."""
    over = {name: indexes for name, indexes in backfill.others.items() if name in ended}
    again = {index for name, indexes in over.items() if ended[name] is not RunStatus.COMPLETED for index in indexes}
    left = {
        name: kept
        for name, indexes in backfill.others.items()
        if name not in ended and (kept := [index for index in indexes if index not in again])
    }
    waiting = {index for indexes in left.values() for index in indexes}
    complete = {index for indexes in over.values() for index in indexes} - again - waiting
    states = dict.fromkeys(again, SliceState.OPEN) | dict.fromkeys(complete, SliceState.COMPLETE)
    return changed(backfill, states=backfill.with_states(states), others=left)
