"""Close dead letters that still need a decision: never one whose run was replayed, however late.

A run's epoch decides whether its dead letters are open. So the commit that closes them depends on the version of each
run as it was read, and writes the run as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from convergence.domain.dead_letter import Closed
from convergence.domain.times import to_text
from convergence.engine.services import Services
from convergence.engine.store import DEAD_LETTERS
from convergence.errors import Conflict
from convergence.ports.documents import Replace

TOGETHER_MAX: Final = 50  # dead letters in a commit, each with its run
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Closing:
    """A dead letter, and when it may be removed once it is closed."""

    letter_id: str
    expire_at: datetime


async def close_open(services: Services, closings: Sequence[Closing], closed: Closed) -> int:
    """Close those that are open; return how many. At most `TOGETHER_MAX`. Raises `Conflict` for one under writes."""
    for _ in range(1 if len(closings) > 1 else _ATTEMPTS):
        dead_letters, runs = await _writes(services, closings, closed)
        if not dead_letters:
            return 0
        try:
            await services.documents.commit([*dead_letters, *runs])
        except Conflict:
            continue
        return len(dead_letters)
    if len(closings) == 1:
        raise Conflict(f"dead letter {closings[0].letter_id} is being changed by others; try again")
    return sum([await close_open(services, [each], closed) for each in closings])


async def closing_write(services: Services, closing: Closing, closed: Closed) -> Replace:
    """Return the write that closes an open dead letter; its run's write, in the same commit, is the caller's.

    Raises:
        Conflict: it is closed, or was removed.
    """
    document = await services.documents.get(f"{DEAD_LETTERS}/{closing.letter_id}")
    if document is None or document.data.get("closed") is not None:
        raise Conflict(f"dead letter {closing.letter_id} was closed by another caller")
    data = {**document.data, "closed": closed.to_data(), "expire_at": to_text(closing.expire_at)}
    return Replace(document.path, document.version, data)


async def _writes(
    services: Services, closings: Sequence[Closing], closed: Closed
) -> tuple[list[Replace], list[Replace]]:
    """Return the writes that close those that are open, and those of their runs, which stay as they are."""
    documents = await services.documents.get_many([f"{DEAD_LETTERS}/{each.letter_id}" for each in closings])
    pairs = [
        (document, closing)
        for document, closing in zip(documents, closings, strict=True)
        if document is not None and document.data.get("closed") is None
    ]
    paths = sorted({f"runs/{document.data['run_id']}" for document, _ in pairs if document.data.get("run_id")})
    found = await services.documents.get_many(paths) if paths else []
    runs = {path: run for path, run in zip(paths, found, strict=True) if run is not None}
    dead_letters: list[Replace] = []
    fences: dict[str, Replace] = {}
    for document, closing in pairs:
        run = runs.get(f"runs/{document.data.get('run_id')}")
        if run is not None and run.data["epoch"] != document.data["epoch"]:
            continue  # it was replayed
        data = {**document.data, "closed": closed.to_data(), "expire_at": to_text(closing.expire_at)}
        dead_letters.append(Replace(document.path, document.version, data))
        if run is not None:
            fences[run.path] = Replace(run.path, run.version, run.data)
    return dead_letters, list(fences.values())
