"""Dead letters as people and programs see them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, NotRequired  # pydantic reads them on Python 3.11 only from there

from typing_extensions import TypedDict

from convergence.domain.dead_letter import DeadLetter, DeadLetterState
from convergence.domain.run import Run
from convergence.domain.times import to_text
from convergence.engine.dead_letters.find import (
    Cause,
    Counted,
    Filter,
    count_causes,
    find,
    require_dead_letter,
    state_of,
)
from convergence.engine.services import Services
from convergence.engine.store import read_run

_PAYLOAD_MAX = 20_000  # characters of a message that are shown


class DeadLetterView(TypedDict):
    """A dead letter. `replayed` when its run was replayed in a later epoch; `state` says how it stands.

    States: open, replayed, completed, discarded, sent. The last three are closed, by `closed_by`, for `closed_reason`.
    """

    letter_id: str
    org: str
    run_id: str | None
    step_id: str | None
    ps_type: str | None
    pipeline: str | None
    epoch: int | None
    attempts: int
    code: str
    error_message: str
    created_at: str
    replayed: bool
    state: str
    closed_at: str | None
    closed_by: str | None
    closed_reason: str | None
    topic: NotRequired[str]


class DeadLetters(TypedDict):
    """A page of dead letters, latest first."""

    dead_letters: list[DeadLetterView]
    cursor: str | None


class ChangedParameter(TypedDict):
    """A parameter before and after replays edited it."""

    before: Any
    after: Any


class DeadLetterDetail(DeadLetterView):
    """A dead letter with what is needed to act on it.

    `frame`: the first failing frame of the step's own code. `run_status`: of its run now. `changes`: parameters that
    later replays edited. `payload`, `attributes`: of a message, for the operator alone; bytes that are not text are
    in base64.
    """

    frame: str | None
    parameters: dict[str, Any]
    run_status: str | None
    run_epoch: int | None
    changes: dict[str, ChangedParameter]
    payload: str | None
    attributes: dict[str, str]


class CauseView(TypedDict):
    """How many dead letters a cause has."""

    code: str
    pipeline: str | None
    step_id: str | None
    count: int


class Summary(TypedDict):
    """Dead letters by cause, the most frequent first. `complete` is False when only the latest were counted."""

    total: int
    causes: list[CauseView]
    complete: bool


async def dead_letters(
    services: Services, criteria: Filter, *, limit: int = 50, cursor: str | None = None
) -> DeadLetters:
    """Return dead letters, latest first. Raises `InvalidInput` for a bad limit or cursor."""
    page = await find(services, criteria, limit=limit, cursor=cursor)
    return {"dead_letters": [_view(*found) for found in page.found], "cursor": page.cursor}


async def summary(services: Services, criteria: Filter) -> Summary:
    """Count dead letters by cause."""
    return summary_view(await count_causes(services, criteria))


async def detail(services: Services, org: str | None, letter_id: str, *, payload: bool) -> DeadLetterDetail:
    """Return one dead letter; `payload`: with the bytes of a message. Raises `NotFound`."""
    dead_letter = await require_dead_letter(services, org, letter_id)
    stored = await read_run(services, dead_letter.run_id) if dead_letter.run_id else None
    run = None if stored is None else stored.run
    frame = dead_letter.error.get("frame")
    return {
        **_view(dead_letter, await state_of(services, dead_letter)),
        "frame": None if frame is None else str(frame),
        "parameters": dict(dead_letter.parameters),
        "run_status": None if run is None else run.status.value,
        "run_epoch": None if run is None else run.epoch,
        "changes": _changes(dead_letter, run),
        "payload": _payload(dead_letter) if payload and dead_letter.data else None,
        "attributes": dict(dead_letter.attributes) if payload else {},
    }


def summary_view(counted: Counted) -> Summary:
    """Return counts as their readers see them."""
    return {"total": counted.total, "causes": causes_view(counted.causes), "complete": counted.complete}


def causes_view(causes: Iterable[tuple[Cause, int]]) -> list[CauseView]:
    """Return counted causes as their readers see them."""
    return [
        {"code": cause.code, "pipeline": cause.pipeline or None, "step_id": cause.step_id or None, "count": count}
        for cause, count in causes
    ]


def _view(dead_letter: DeadLetter, state: DeadLetterState) -> DeadLetterView:
    closed = dead_letter.closed
    view: DeadLetterView = {
        "letter_id": dead_letter.letter_id,
        "org": dead_letter.org,
        "run_id": dead_letter.run_id or None,
        "step_id": dead_letter.step_id or None,
        "ps_type": dead_letter.ps_type or None,
        "pipeline": dead_letter.pipeline or None,
        "epoch": dead_letter.epoch,
        "attempts": dead_letter.attempts,
        "code": dead_letter.code,
        "error_message": str(dead_letter.error.get("message")),
        "created_at": to_text(dead_letter.created_at),
        "replayed": state in (DeadLetterState.REPLAYED, DeadLetterState.COMPLETED),
        "state": state.value,
        "closed_at": None if closed is None else to_text(closed.at),
        "closed_by": None if closed is None else closed.by,
        "closed_reason": None if closed is None else closed.reason,
    }
    if dead_letter.topic:
        view["topic"] = dead_letter.topic
    return view


def _changes(dead_letter: DeadLetter, run: Run | None) -> dict[str, ChangedParameter]:
    """Return the parameters that differ between the epoch that failed and now."""
    if run is None or dead_letter.epoch is None:
        return {}
    before: Mapping[str, Any] = run.parameters_in(dead_letter.epoch)
    names = sorted(before.keys() | run.parameters.keys())
    return {
        name: {"before": before.get(name), "after": run.parameters.get(name)}
        for name in names
        if before.get(name) != run.parameters.get(name)
    }


def _payload(dead_letter: DeadLetter) -> str:
    try:
        text = base64.b64decode(dead_letter.data).decode()
    except UnicodeDecodeError:
        text = dead_letter.data
    return text if len(text) <= _PAYLOAD_MAX else text[:_PAYLOAD_MAX] + " …"
