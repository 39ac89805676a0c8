"""Find dead letters by org, pipeline, step, error code and age, latest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from convergence.domain.dead_letter import DeadLetter, DeadLetterState
from convergence.domain.times import to_text
from convergence.engine.services import Services
from convergence.engine.store import DEAD_LETTERS
from convergence.errors import InvalidInput, NotFound
from convergence.ports.documents import Order, Page, Where

PAGE_MAX: Final = 500
SCANNED_MAX: Final = 2_000  # dead letters that one call looks at; its cursor continues from there
COUNTED_MAX: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which dead letters; what is not given is not asked for. `org` None: those of all orgs."""

    org: str | None = None
    pipeline: str | None = None
    step_id: str | None = None
    code: str | None = None
    state: DeadLetterState | None = None
    before: datetime | None = None
    after: datetime | None = None

    def matches(self, dead_letter: DeadLetter) -> bool:
        """Tell whether everything but the times and the state is as asked for."""
        asked = (
            (self.pipeline, dead_letter.pipeline),
            (self.step_id, dead_letter.step_id),
            (self.code, dead_letter.code),
        )
        return all(expected is None or expected == has for expected, has in asked)


class Found(NamedTuple):
    """A dead letter and its state."""

    dead_letter: DeadLetter
    state: DeadLetterState


@dataclass(frozen=True, slots=True)
class FoundPage:
    """A page; `cursor` is None when nothing follows it. One with a cursor may hold fewer than were asked for."""

    found: list[Found]
    cursor: str | None


class Cause(NamedTuple):
    """What dead letters are counted by."""

    code: str
    pipeline: str
    step_id: str


@dataclass(frozen=True, slots=True)
class Counted:
    """How many dead letters each cause has, the most frequent first; `complete` is False for the latest 20,000."""

    causes: list[tuple[Cause, int]]
    complete: bool

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(count for _, count in self.causes)


async def require_dead_letter(services: Services, org: str | None, letter_id: str) -> DeadLetter:
    """Return a dead letter of `org`, with None of any org. Raises `NotFound`, also for another org's."""
    document = None
    if letter_id and "/" not in letter_id:
        document = await services.documents.get(f"{DEAD_LETTERS}/{letter_id}")
    dead_letter = None if document is None else DeadLetter.from_data(document.path, document.data)
    if dead_letter is None or org not in (None, dead_letter.org):
        of = "there is" if org is None else f"{org} has"
        listed = f"convergence dead-letters list {org or '_all'}"
        raise NotFound(f"{of} no dead letter {letter_id[:200]!r}; list them with: {listed}")
    return dead_letter


async def state_of(services: Services, dead_letter: DeadLetter) -> DeadLetterState:
    """Return the state of one dead letter."""
    ((_, state),) = await _with_states(services, [dead_letter])
    return state


async def find(services: Services, criteria: Filter, *, limit: int = 50, cursor: str | None = None) -> FoundPage:
    """Return at most `limit` dead letters. Raises `InvalidInput` for a limit or a cursor that cannot be."""
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidInput(f"limit must be a number from 1 to {PAGE_MAX}, not {limit}")
    found: list[Found] = []
    scanned = 0
    while True:
        page = await _query(services, criteria, limit - len(found), cursor)
        found += await _matching(services, criteria, page)
        scanned += len(page.documents)
        cursor = page.cursor
        if cursor is None or len(found) == limit or scanned >= SCANNED_MAX:
            return FoundPage(found, cursor)


async def pages(
    services: Services, criteria: Filter, *, most: int = COUNTED_MAX, cursor: str | None = None
) -> AsyncIterator[FoundPage]:
    """Yield pages of dead letters, looking at `most`, latest first; the last page has a cursor if there are more."""
    for _ in range(max(1, most // PAGE_MAX)):
        page = await _query(services, criteria, PAGE_MAX, cursor)
        yield FoundPage(await _matching(services, criteria, page), page.cursor)
        cursor = page.cursor
        if cursor is None:
            return


async def count_causes(services: Services, criteria: Filter, *, most: int = COUNTED_MAX) -> Counted:
    """Count dead letters by their cause."""
    counts: Counter[Cause] = Counter()
    complete = True
    async for page in pages(services, criteria, most=most):
        counts.update(Cause(each.code, each.pipeline, each.step_id) for each, _ in page.found)
        complete = page.cursor is None
    return Counted(sorted(counts.items(), key=lambda item: (-item[1], item[0])), complete=complete)


async def count_open(services: Services, org: str, *, most: int) -> tuple[int, bool]:
    """Return how many of the org's latest `most` dead letters are open, and whether these are all that it has."""
    page = await _query(services, Filter(org=org), most, None)
    found = await _matching(services, Filter(org=org, state=DeadLetterState.OPEN), page)
    return len(found), page.cursor is None


async def _query(services: Services, criteria: Filter, limit: int, cursor: str | None) -> Page:
    where = [] if criteria.org is None else [Where("org", "==", criteria.org)]
    if criteria.before is not None:
        where.append(Where("created_at", "<", to_text(criteria.before)))
    if criteria.after is not None:
        where.append(Where("created_at", ">=", to_text(criteria.after)))
    order = [Order("created_at", descending=True)]
    try:
        return await services.documents.query(DEAD_LETTERS, where=where, order=order, limit=limit, cursor=cursor)
    except ValueError as error:
        raise InvalidInput("the cursor is unknown; leave it out to begin again") from error


async def _matching(services: Services, criteria: Filter, page: Page) -> list[Found]:
    dead_letters = [DeadLetter.from_data(document.path, document.data) for document in page.documents]
    matching = await _with_states(
        services, [dead_letter for dead_letter in dead_letters if criteria.matches(dead_letter)]
    )
    return [found for found in matching if criteria.state in (None, found.state)]


async def _with_states(services: Services, dead_letters: list[DeadLetter]) -> list[Found]:
    run_ids = sorted(
        {dead_letter.run_id for dead_letter in dead_letters if dead_letter.run_id and dead_letter.closed is None}
    )
    runs = await services.documents.get_many([f"runs/{run_id}" for run_id in run_ids]) if run_ids else []
    epochs = {run_id: run.data["epoch"] for run_id, run in zip(run_ids, runs, strict=True) if run is not None}
    return [Found(dead_letter, dead_letter.state(epochs.get(dead_letter.run_id))) for dead_letter in dead_letters]
