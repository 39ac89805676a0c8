"""The open dead letters of all orgs, for the operator: how many each org has of each cause, and unassigned messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from convergence.domain.dead_letter import DeadLetterState
from convergence.engine.dead_letters.find import Cause, Filter, pages
from convergence.engine.services import Services
from convergence.engine.views.dead_letters import DeadLetterView, dead_letters

ROWS_MAX: Final = 100
MESSAGES_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class OrgCause:
    """How many dead letters of a cause an org has; `org` is empty for messages that name none."""

    org: str
    cause: Cause
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AllDeadLetters:
    """The page. `total` is exact unless `complete` is False; `rows` are the most frequent of `causes`."""

    rows: Sequence[OrgCause]
    causes: int
    total: int
    orgs: int
    complete: bool
    messages: Sequence[DeadLetterView]


async def all_dead_letters(services: Services) -> AllDeadLetters:
    """Return the page."""
    counts: Counter[tuple[str, Cause]] = Counter()
    complete = True
    async for found in pages(services, Filter(state=DeadLetterState.OPEN)):
        counts.update(
            (dead_letter.org, Cause(dead_letter.code, dead_letter.pipeline, dead_letter.step_id))
            for dead_letter, _ in found.found
        )
        complete = found.cursor is None
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    unassigned = await dead_letters(services, Filter(org="", state=DeadLetterState.OPEN), limit=MESSAGES_MAX)
    return AllDeadLetters(
        rows=[OrgCause(org, cause, count) for (org, cause), count in ordered[:ROWS_MAX]],
        causes=len(ordered),
        total=sum(counts.values()),
        orgs=len({org for org, _ in counts if org}),
        complete=complete,
        messages=unassigned["dead_letters"],
    )
