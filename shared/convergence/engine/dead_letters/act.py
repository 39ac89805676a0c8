"""Replay the run of a dead letter, send a message again, or discard what needs nothing more."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from convergence.domain.dead_letter import Closed, DeadLetter, DeadLetterState
from convergence.domain.events import run_event
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.step import Applied
from convergence.engine.chain import missed_run
from convergence.engine.dead_letters.close import Closing, close_open, closing_write
from convergence.engine.dead_letters.find import require_dead_letter
from convergence.engine.dispatch_message import HIDDEN
from convergence.engine.messages import QUEUE_KIND, publish_events, publish_queue_changed
from convergence.engine.replay import replay
from convergence.engine.retention.expiry import expiry
from convergence.engine.services import Services
from convergence.engine.store import read_plan, require_run, write_run
from convergence.errors import Conflict, InvalidInput
from convergence.ports.bus import DEAD_LETTER, DISPATCH, QUEUE_CHANGED, STEP_READY, Message

REASON_MAX: Final = 1_000
_TOPICS: Final = {"dispatch": DISPATCH, QUEUE_KIND: QUEUE_CHANGED}  # by the attribute `kind`
_BUS_ATTRIBUTES: Final = ("CloudPubSubDeadLetter", "googclient_")  # the bus's own, not the sender's


async def replay_dead_letter(
    services: Services,
    org: str | None,
    letter_id: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    latest: bool = False,
    applied: Mapping[str, Applied] | None = None,
) -> Run:
    """Replay the run of a dead letter, as `replay` does; `org` None: of any org.

    That of a run that could not follow another one starts that run, which is returned, queued.

    Raises:
        NotFound: the org has no such dead letter, its run was removed, or the pipeline that follows does not exist.
        InvalidInput: it was replayed or discarded already, it is a message, or what `replay` raises.
        Conflict: another caller replays it, too.
    """
    dead_letter = await require_dead_letter(services, org, letter_id)
    check_open(dead_letter)
    if not dead_letter.run_id:
        raise InvalidInput(f"dead letter {letter_id} is a message, not a run; send it again with: {_send(dead_letter)}")
    if dead_letter.chained:
        if parameters or latest or applied:
            raise InvalidInput(f"dead letter {letter_id} starts what `then` names, with the parameters written there")
        return await _start_missed(services, dead_letter)
    return await replay(
        services,
        dead_letter.org,
        dead_letter.run_id,
        parameters=parameters,
        latest=latest,
        applied=applied,
        dead_letter=dead_letter,
    )


async def _start_missed(services: Services, dead_letter: DeadLetter) -> Run:
    """Create the run that could not follow another one, and close its dead letter in the same commit."""
    ended, version = await require_run(services, dead_letter.org, dead_letter.run_id)
    if ended.epoch != dead_letter.epoch:
        raise InvalidInput(f"dead letter {dead_letter.letter_id} belongs to an earlier replay of run {ended.run_id}")
    run, writes = await missed_run(services, ended, await read_plan(services, ended), dead_letter)
    now = services.clock.now()
    closing = Closing(dead_letter.letter_id, await expiry(services, "dead_letters", dead_letter.org, now))
    closed = Closed(state=DeadLetterState.COMPLETED, at=now, by="engine", reason=f"run {run.run_id} was started")
    parent = changed(ended, children=(*ended.children, run.run_id), token=services.ids.new("t"))
    await write_run(services, parent, version, *writes, await closing_write(services, closing, closed))
    await publish_events(services.bus, [run_event(run)])
    await publish_queue_changed(services.bus, run.org)
    return run


async def send_again(services: Services, org: str | None, letter_id: str, *, by: str) -> DeadLetter:
    """Publish a dead-lettered message again and close its dead letter. If it fails again, it gets a new one.

    Raises:
        NotFound: the org has no such dead letter.
        InvalidInput: it is a run, it is closed, or a part of the message was not kept.
        Conflict: the message was sent, and meanwhile another caller closed its dead letter, which stays as it is.
    """
    dead_letter = await require_dead_letter(services, org, letter_id)
    check_open(dead_letter)
    if dead_letter.run_id:
        raise InvalidInput(f"dead letter {letter_id} belongs to run {dead_letter.run_id}; replay it instead")
    data = base64.b64decode(dead_letter.data)
    if len(data) < dead_letter.data_bytes:
        kept = f"{len(data):,} of its {dead_letter.data_bytes:,} bytes were kept"
        raise InvalidInput(f"dead letter {letter_id} cannot be sent again: {kept}; have its sender send it")
    if HIDDEN.encode() in data:
        raise InvalidInput(f"dead letter {letter_id} cannot be sent again: its parameters were not kept, start the run")
    # Published first: a crash in between sends it twice, which every handler tolerates, and never loses it.
    await services.bus.publish(_topic(dead_letter), [Message(data, _attributes(dead_letter))])
    reason = f"sent again to {_topic(dead_letter)}"
    closed = await _close(services, dead_letter, DeadLetterState.SENT, by, reason)
    stored = await require_dead_letter(services, None, letter_id)
    if not closed and stored.closed is not None:
        meanwhile = f"{stored.closed.state} by another caller meanwhile: {stored.closed.reason}"
        raise Conflict(f"the message was {reason}, but its dead letter {letter_id} was {meanwhile}")
    return stored


async def discard(services: Services, org: str | None, letter_id: str, *, reason: str, by: str) -> DeadLetter:
    """Close a dead letter without doing anything about it.

    Raises:
        NotFound: the org has no such dead letter.
        InvalidInput: it is closed, its run was replayed, or the reason is empty or too long.
    """
    check_reason(reason)
    dead_letter = await require_dead_letter(services, org, letter_id)
    check_open(dead_letter)
    if not await _close(services, dead_letter, DeadLetterState.DISCARDED, by, reason):
        check_open(await require_dead_letter(services, org, letter_id))  # or it was removed meanwhile
        stored = await require_run(services, dead_letter.org, dead_letter.run_id)
        raise InvalidInput(
            f"dead letter {letter_id} was replayed already; run {dead_letter.run_id} is {stored.run.status}"
        )
    return await require_dead_letter(services, org, letter_id)


def check_reason(reason: str) -> None:
    """Raise `InvalidInput` unless a reason says something, briefly."""
    if not reason.strip() or len(reason) > REASON_MAX:
        raise InvalidInput(f"the reason must have 1 to {REASON_MAX} characters")


def check_open(dead_letter: DeadLetter) -> None:
    """Raise `InvalidInput` for a closed dead letter."""
    if dead_letter.closed is None:
        return
    if dead_letter.closed.state is DeadLetterState.COMPLETED and not dead_letter.chained:
        raise InvalidInput(
            f"dead letter {dead_letter.letter_id} was replayed already; run {dead_letter.run_id} is completed"
        )
    run = (
        f"; run {dead_letter.run_id} can still be replayed itself"
        if dead_letter.run_id and not dead_letter.chained
        else ""
    )
    raise InvalidInput(
        f"dead letter {dead_letter.letter_id} is {dead_letter.closed.state} already: {dead_letter.closed.reason}{run}"
    )


async def _close(services: Services, dead_letter: DeadLetter, state: DeadLetterState, by: str, reason: str) -> bool:
    """Close a dead letter; False if it is no longer open."""
    now = services.clock.now()
    closing = Closing(dead_letter.letter_id, await expiry(services, "dead_letters", dead_letter.org, now))
    return await close_open(services, [closing], Closed(state=state, at=now, by=by, reason=reason)) == 1


def _topic(dead_letter: DeadLetter) -> str:
    """Return the topic that a message was sent to; one that the bus gave up on arrived on another one."""
    if dead_letter.topic != DEAD_LETTER:
        return dead_letter.topic
    return _TOPICS.get(dead_letter.attributes.get("kind", ""), STEP_READY)


def _attributes(dead_letter: DeadLetter) -> dict[str, str]:
    return {name: value for name, value in dead_letter.attributes.items() if not name.startswith(_BUS_ATTRIBUTES)}


def _send(dead_letter: DeadLetter) -> str:
    return f"convergence dead-letters send {dead_letter.org or '_all'} {dead_letter.letter_id}"
