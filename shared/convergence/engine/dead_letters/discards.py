"""Discard all dead letters that a filter finds: counted first, then closed in small commits.

What is closed is not found again, so a call that was interrupted is simply repeated.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from convergence.domain.dead_letter import Closed, DeadLetterState
from convergence.engine.dead_letters.act import check_reason
from convergence.engine.dead_letters.close import TOGETHER_MAX, Closing, close_open
from convergence.engine.dead_letters.find import Cause, Filter, pages
from convergence.engine.retention.expiry import expiry
from convergence.engine.services import Services

LOOKED_AT_MAX: Final = 10_000  # dead letters, in one call


@dataclass(frozen=True, slots=True)
class DiscardsPlan:
    """What would be discarded: dead letters, of so many runs and messages. `complete` is False if there are more."""

    dead_letters: int
    runs: int
    messages: int
    orgs: int
    causes: list[tuple[Cause, int]]
    complete: bool


@dataclass(frozen=True, slots=True)
class Discarded:
    """How many dead letters were discarded; `cursor`, unless it is None, leads to those after them."""

    dead_letters: int
    cursor: str | None


async def plan_discards(services: Services, criteria: Filter, *, reason: str) -> DiscardsPlan:
    """Count what `discard_all` would close; store nothing. Raises `InvalidInput` for a reason that says nothing."""
    check_reason(reason)
    runs: set[str] = set()
    orgs: set[str] = set()
    causes: Counter[Cause] = Counter()
    messages, complete = 0, True
    async for page in pages(services, _open(criteria)):
        complete = page.cursor is None
        for dead_letter, _ in page.found:
            causes[Cause(dead_letter.code, dead_letter.pipeline, dead_letter.step_id)] += 1
            orgs.add(dead_letter.org)
            messages += not dead_letter.run_id
            runs.update([dead_letter.run_id] if dead_letter.run_id else [])
    return DiscardsPlan(
        dead_letters=causes.total(),
        runs=len(runs),
        messages=messages,
        orgs=len(orgs),
        causes=sorted(causes.items(), key=lambda item: (-item[1], item[0])),
        complete=complete,
    )


async def discard_all(
    services: Services, criteria: Filter, *, reason: str, by: str, cursor: str | None = None
) -> Discarded:
    """Discard the open dead letters that a filter finds, those that exist now; one call looks at a limited number.

    Raises:
        InvalidInput: the reason is empty or too long, or the cursor is unknown.
        Conflict: one keeps changing; those before it are closed, so the call can be repeated.
    """
    check_reason(reason)
    now = services.clock.now()
    closed = Closed(state=DeadLetterState.DISCARDED, at=now, by=by, reason=reason)
    expiries: dict[str, datetime] = {}
    present = replace(_open(criteria), before=min(criteria.before or now, now))
    discarded = 0
    async for page in pages(services, present, most=LOOKED_AT_MAX, cursor=cursor):
        cursor = page.cursor
        closings: list[Closing] = []
        for dead_letter, _ in page.found:
            if dead_letter.org not in expiries:
                expiries[dead_letter.org] = await expiry(services, "dead_letters", dead_letter.org, now)
            closings.append(Closing(dead_letter.letter_id, expiries[dead_letter.org]))
        for at in range(0, len(closings), TOGETHER_MAX):
            discarded += await close_open(services, closings[at : at + TOGETHER_MAX], closed)
    return Discarded(discarded, cursor)


def _open(criteria: Filter) -> Filter:
    return replace(criteria, state=DeadLetterState.OPEN)
