"""The editor of a dead letter's payload: what changed, whether it fits, what a replay of one or of all would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from convergence.engine.dead_letters.find import Cause, find
from convergence.engine.dead_letters.plan_replays import ReplaysPlan
from convergence.engine.dead_letters.replays import ReplaysRequest, plan
from convergence.engine.replay import check_edit
from convergence.engine.services import Services
from convergence.engine.store import require_run
from convergence.entry.ui.formats import pretty
from convergence.entry.ui.views.dead_letters import of_cause
from convergence.entry.ui.views.replay import Effect, effect_of
from convergence.errors import ConvergenceError, InvalidInput, NotFound

PAYLOAD_MAX: Final = 20_000  # characters that a form may send


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is on one side only."""

    side: Literal["before", "after"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadPage:
    """The page of a cause: the latest dead letter's parameters, and as they were edited.

    `first` is what the replay of that one does, `whole` that of all; None when `wrong` says why nothing can be done.
    """

    cause: Cause
    letter_id: str
    run_id: str
    text: str
    lines: Sequence[Line]
    changes: Mapping[str, Any]
    wrong: str
    first: Effect
    whole: ReplaysPlan | None


async def payload_page(services: Services, org: str, cause: Cause, text: str | None) -> PayloadPage:
    """Return the page; `text` is what the form has, None before it was sent.

    Raises:
        NotFound: no dead letter of the cause is open, or it is a message without a run.
    """
    found = (await find(services, of_cause(org, cause), limit=1)).found
    if not found or not found[0].dead_letter.run_id:
        raise NotFound("Dead letters of this cause are no longer open, or they are messages.")
    dead_letter = found[0].dead_letter
    run = (await require_run(services, org, dead_letter.run_id)).run
    before = pretty(dict(run.parameters))
    changes: Mapping[str, Any] = {}
    wrong, whole = "", None
    try:
        changes = {} if text is None else changes_of(run.parameters, text)
        await check_edit(services, run, changes or None, latest=False)
        whole = await plan(services, ReplaysRequest(criteria=of_cause(org, cause), parameters=changes))
    except ConvergenceError as error:
        wrong = str(error)
    return PayloadPage(
        cause=cause,
        letter_id=dead_letter.letter_id,
        run_id=dead_letter.run_id,
        text=before if text is None else text,
        lines=difference(run.parameters, changes),
        changes=changes,
        wrong=wrong,
        first=await effect_of(services, org, dead_letter.run_id),
        whole=whole,
    )


def changes_of(before: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return the parameters of an edited payload that differ.

    Raises:
        InvalidInput: it is too long, not a JSON object, or leaves a parameter out.
    """
    if len(text) > PAYLOAD_MAX:
        raise InvalidInput(f"a payload may have at most {PAYLOAD_MAX:,} characters, this one {len(text):,}")
    try:
        after = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the payload is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    if not isinstance(after, dict):
        raise InvalidInput("the payload must be one JSON object: a value for each parameter")
    missing = sorted(before.keys() - after.keys())
    if missing:
        raise InvalidInput(f"a replay cannot leave out what the run had: {', '.join(missing)}; give it another value")
    return {name: value for name, value in after.items() if name not in before or _differ(before[name], value)}


def difference(before: Mapping[str, Any], changes: Mapping[str, Any]) -> list[Line]:
    """Return the lines of changed parameters that differ, those before the change first.

    Lines that both begin or end with are left out: linear, where a comparison line by line is not, and a caller
    chooses how many there are.
    """
    lines: list[Line] = []
    for name, value in changes.items():
        old = _lines({name: before[name]}) if name in before else []
        new = _lines({name: value})
        same = next((n for n, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), len(old))
        old, new = old[same:], new[same:]
        while old and new and old[-1] == new[-1]:
            old.pop()
            new.pop()
        lines += [*(Line("before", text) for text in old), *(Line("after", text) for text in new)]
    return lines


def _lines(parameter: Mapping[str, Any]) -> list[str]:
    """Return the lines of one parameter, without the braces around it."""
    return pretty(dict(parameter)).splitlines()[1:-1]


def _differ(one: Any, other: Any) -> bool:
    """Compare as JSON: 1 and true are equal in Python."""
    return orjson.dumps(one, default=str) != orjson.dumps(other, default=str)
