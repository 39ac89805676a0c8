"""The dead letters of an org, grouped by their cause, and what replaying a group would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from convergence.domain.dead_letter import DeadLetterState
from convergence.engine.dead_letters.find import Cause, Filter, count_causes, find
from convergence.engine.dead_letters.replays import replays_of
from convergence.engine.services import Services
from convergence.engine.views.dead_letter_replays import ReplayView, replay_view
from convergence.engine.views.dead_letters import DeadLetterView, dead_letters
from convergence.entry.ui.views.replay import Effect, effect_of
from convergence.errors import NotFound

GROUPS_MAX: Final = 20
SHOWN: Final = 5
PAGE: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The open dead letters of one cause: how many, the latest of them, and what the replay of the first does."""

    cause: Cause
    count: int
    latest: Sequence[DeadLetterView]
    first: Effect | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLettersPage:
    """The page. `total` is exact unless `complete` is False; `replays` of many that are known, latest first."""

    groups: Sequence[Group]
    total: int
    causes: int
    complete: bool
    replays: Sequence[ReplayView]


async def dead_letters_page(services: Services, org: str, pipeline: str | None) -> DeadLettersPage:
    """Return the page. Raises `NotFound` for an org that does not exist."""
    await services.orgs.get(org)
    criteria = Filter(org=org, pipeline=pipeline, state=DeadLetterState.OPEN)
    counted = await count_causes(services, criteria)
    groups = []
    for cause, count in counted.causes[:GROUPS_MAX]:
        found = await dead_letters(services, of_cause(org, cause), limit=SHOWN)
        latest = found["dead_letters"]
        run_id = latest[0]["run_id"] if latest else None
        first = None if run_id is None else await _effect(services, org, run_id)
        groups.append(Group(cause=cause, count=count, latest=latest, first=first))
    return DeadLettersPage(
        groups=groups,
        total=counted.total,
        causes=len(counted.causes),
        complete=counted.complete,
        replays=[replay_view(each) for each in await replays_of(services, org, limit=SHOWN)],
    )


async def _effect(services: Services, org: str, run_id: str) -> Effect | None:
    """Return what the replay of a run does; None when the run was removed meanwhile."""
    try:
        return await effect_of(services, org, run_id)
    except NotFound:
        return None


def of_cause(org: str, cause: Cause) -> Filter:
    """Return the filter that finds the open dead letters of a cause; a message's has no pipeline and no step."""
    return Filter(
        org=org,
        pipeline=cause.pipeline,
        step_id=cause.step_id,
        code=cause.code,
        state=DeadLetterState.OPEN,
    )


async def dead_letters_of(services: Services, org: str, cause: Cause) -> list[str]:
    """Return the ids of a cause's open dead letters, at most 50, latest first."""
    page = await find(services, of_cause(org, cause), limit=PAGE)
    return [found.dead_letter.letter_id for found in page.found]
