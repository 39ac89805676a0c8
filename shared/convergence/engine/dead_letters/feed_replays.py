"""Keep replays of many dead letters going: the first alone, then as many a minute as asked for.

The stored object moves before a run is replayed, and a run that is in a later epoch has been replayed: each round can
be repeated, and after an acknowledged pause no further round begins.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from typing import Final, NamedTuple

from convergence.domain.caps import GLOBAL
from convergence.domain.dead_letter import DeadLetterState
from convergence.domain.dead_letter_replay import FULL_MAX, WINDOW_MAX, DeadLetterReplay, Pending, ReplayStatus
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.engine.dead_letters.act import replay_dead_letter
from convergence.engine.dead_letters.find import find
from convergence.engine.dead_letters.replays import REPLAYS, StoredReplay, filter_of, read_replay
from convergence.engine.queue.reservation import CapReached
from convergence.engine.retention.expiry import expiry
from convergence.engine.rounds import feed_each_due
from convergence.engine.services import Services
from convergence.engine.store import commit, require_run
from convergence.errors import (
    ConfigErrors,
    Conflict,
    ConvergenceError,
    Denied,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    RateLimited,
    Transient,
)
from convergence.ports.documents import Replace

logger = logging.getLogger(__name__)
_LOOK_AGAIN_S: Final = 15
_PAGE: Final = 20
_REASON_MAX: Final = 500
_ATTEMPTS: Final = 3
_FULL_REASON_MAX: Final = 150
_FULL_MAX: Final = 20  # times in a round that orgs without room are found, two commits each
_LOOK: Final = 50  # dead letters looked at together, where some belong to orgs without room
_LOOKED_AT_MAX: Final = 500  # by a round


class _Counted(NamedTuple):
    replay: DeadLetterReplay
    problem: str  # of the last replay that failed or was refused since the last round


async def feed_replays_due(services: Services) -> int:
    """Feed every replay of many that is due; return how many."""
    return await feed_each_due(services, REPLAYS, feed_replays, limit=_PAGE)


async def feed_replays(services: Services, replay_id: str) -> DeadLetterReplay | None:
    """Do one round; return how it stands then."""
    for _ in range(_ATTEMPTS):
        stored = await read_replay(services, replay_id)
        if stored is None or stored.replay.next_check_at is None:
            return None if stored is None else stored.replay
        try:
            return await _round(services, stored)
        except Conflict:
            continue
    return None  # its next check comes in seconds


async def _round(services: Services, stored: StoredReplay) -> DeadLetterReplay:
    counted = await _count_ended(services, stored.replay)
    replay, version = _judged(counted), stored.version
    for _ in range(_FULL_MAX):
        after = await _taken(services, replay, version)
        if after.replay.status is not ReplayStatus.RUNNING:
            return after.replay
        begun, again = await _start(services, after, replay)
        if not again:
            return begun.replay
        replay, version = begun
    return replay


async def _taken(services: Services, replay: DeadLetterReplay, version: int) -> StoredReplay:
    """Store the replay with the next dead letters in its window, and when it is looked at again."""
    after = await _take(services, replay)
    looks = after.status is ReplayStatus.RUNNING or bool(after.window)
    now = services.clock.now()
    after = changed(
        after,
        next_check_at=now + timedelta(seconds=_LOOK_AGAIN_S) if looks else None,
        expire_at=None if looks or not after.over else await expiry(services, "requests", after.org, now),
        updated_at=now,
        token=services.ids.new("t"),
    )
    (version,) = await commit(services.documents, [Replace(after.path, version, after.to_data())], after.token)
    return StoredReplay(after, version)


async def _count_ended(services: Services, replay: DeadLetterReplay) -> _Counted:
    """Take what has ended out of the window."""
    names = list(replay.window)
    documents = await services.documents.get_many([f"runs/{replay.window[name].run_id}" for name in names])
    window = dict(replay.window)
    completed, failed, refused, problem = replay.completed, replay.failed, replay.refused, ""
    for name, document in zip(names, documents, strict=True):
        run = None if document is None else Run.from_data(document.data)
        if run is None:
            refused, problem = refused + 1, f"run {window.pop(name).run_id} was removed"
        elif run.epoch > window[name].epoch and run.terminal:
            window.pop(name)
            if run.status is RunStatus.COMPLETED:
                completed += 1
            else:
                failed += 1
                problem = f"run {run.run_id} is {run.status}: {(run.error or {}).get('message', '')}"[:_REASON_MAX]
    counted = changed(replay, window=window, completed=completed, failed=failed, refused=refused)
    return _Counted(changed(counted, first_passed=replay.first_passed or completed > replay.completed), problem)


def _judged(counted: _Counted) -> DeadLetterReplay:
    replay, problem = counted
    if replay.status is not ReplayStatus.RUNNING:
        return replay
    bad = replay.failed + replay.refused
    if problem and not replay.first_passed:
        return changed(replay, status=ReplayStatus.STOPPED, reason=f"the first one did not complete: {problem}")
    if bad >= replay.failures_max:
        reason = f"{bad} did not complete (failures_max {replay.failures_max}); the last: {problem}"
        return changed(replay, status=ReplayStatus.STOPPED, reason=reason[:_REASON_MAX])
    if replay.exhausted and not replay.window:
        if replay.passed_over:  # some had no room: once more through those that are still open
            return changed(replay, passed_over=False, exhausted=False, cursor=None, full={})
        return changed(replay, status=ReplayStatus.DONE)
    return replay


async def _take(services: Services, replay: DeadLetterReplay) -> DeadLetterReplay:
    """Put the next dead letters into the window, as many as the rate allows; only one until the first has passed.

    Those of orgs without room are passed over, and looked for again once the others are done.
    """
    now = services.clock.now()
    since = 0.0 if replay.tokens_at is None else max(0.0, (now - replay.tokens_at).total_seconds())
    tokens = min(float(replay.per_minute), replay.tokens + since * replay.per_minute / 60)
    room = min(int(tokens), WINDOW_MAX - len(replay.window))
    if not replay.first_passed:
        room = min(room, 1 - len(replay.window))
    if replay.status is not ReplayStatus.RUNNING or replay.exhausted or room < 1:
        return replay
    full = {} if replay.org else replay.full
    taken = {each.run_id for each in replay.window.values()}
    window, cursor, passed_over = dict(replay.window), replay.cursor, replay.passed_over
    room += len(window)
    for _ in range(_LOOKED_AT_MAX // _LOOK):
        page = await find(services, filter_of(replay), limit=_LOOK if full else room - len(window), cursor=cursor)
        cursor = page.cursor
        for dead_letter, state in page.found:
            known = dead_letter.run_id in {"", *taken} or dead_letter.letter_id in replay.refused_ids
            if state is not DeadLetterState.OPEN or known or dead_letter.epoch is None or dead_letter.chained:
                continue
            if dead_letter.org in full or len(window) == room:
                passed_over = True
                continue
            window[dead_letter.letter_id] = Pending(
                run_id=dead_letter.run_id, org=dead_letter.org, epoch=dead_letter.epoch
            )
            taken.add(dead_letter.run_id)
        if cursor is None or len(window) == room:
            break
    used = len(window) - len(replay.window)
    more = changed(replay, window=window, cursor=cursor, exhausted=cursor is None, passed_over=passed_over)
    done = more.exhausted and not window and not passed_over
    status = ReplayStatus.DONE if done else more.status
    return changed(more, status=status, tokens=tokens - used, tokens_at=now)


async def _start(services: Services, stored: StoredReplay, before: DeadLetterReplay) -> tuple[StoredReplay, bool]:
    """Replay the runs of the window that were not replayed yet; return whether others can take the place of some.

    Those of orgs without room leave the window again where other orgs wait as well, and the next ones are looked for
    from where these were, `before`; what else cannot begin now stays for the next round.
    """
    replay, problem = stored.replay, ""
    window, refused, full = dict(replay.window), list[str](), dict[str, str]()
    for letter_id, pending in replay.window.items():
        if await _is_replayed(services, pending):
            continue
        try:
            if replay.org or pending.org not in full:
                await _replay_one(services, replay, letter_id, pending)
        except QuotaExceeded as error:
            full[pending.org] = str(error)[:_FULL_REASON_MAX]
            if _for_all(error):  # no other org has room either: all of the window waits for the next round
                break
        except (RateLimited, Transient, Conflict):
            continue
        except ConvergenceError as error:
            if await _is_replayed(services, pending):
                continue  # another process came first, after the check above: its end counts, like that of any other
            problem = f"run {pending.run_id}: {error}"[:_REASON_MAX]
            window.pop(letter_id)
            refused.append(letter_id)
        if pending.org in full and not replay.org:
            window.pop(letter_id)
    known = full if replay.org else dict([*replay.full.items(), *full.items()][:FULL_MAX])
    back = len(replay.window) - len(window) - len(refused)
    if not refused and not back and known == replay.full:
        return stored, False
    place = before if back else replay
    after = changed(
        replay,
        window=window,
        refused=replay.refused + len(refused),
        refused_ids=(*replay.refused_ids, *refused),
        passed_over=replay.passed_over or bool(back),
        full=known,
        cursor=place.cursor,
        exhausted=place.exhausted,
        tokens=replay.tokens + back,
        token=services.ids.new("t"),
    )
    after = _judged(_Counted(after, problem)) if refused else after
    if after.status is not ReplayStatus.RUNNING and not window:
        expire_at = await expiry(services, "requests", after.org, services.clock.now())
        after = changed(after, next_check_at=None, expire_at=expire_at)
    (version,) = await commit(services.documents, [Replace(after.path, stored.version, after.to_data())], after.token)
    return StoredReplay(after, version), bool(back) and after.status is ReplayStatus.RUNNING


def _for_all(error: QuotaExceeded) -> bool:
    """Return whether the installation has no room, not only the org or the provider."""
    return isinstance(error, CapReached) and error.cap == GLOBAL


async def _is_replayed(services: Services, pending: Pending) -> bool:
    run = await services.documents.get(f"runs/{pending.run_id}")
    return run is not None and run.data["epoch"] > pending.epoch


async def _replay_one(services: Services, replay: DeadLetterReplay, letter_id: str, pending: Pending) -> None:
    if not replay.operator:
        await _check_not_the_operators(services, pending)
    await replay_dead_letter(
        services, pending.org, letter_id, parameters=dict(replay.parameters) or None, latest=replay.latest
    )


async def _check_not_the_operators(services: Services, pending: Pending) -> None:
    """Raise `Denied` for a pipeline that only the operator may run."""
    run = (await require_run(services, pending.org, pending.run_id)).run
    with suppress(NotFound, InvalidInput, ConfigErrors):  # its file is missing or invalid: the pinned plan is used
        if services.catalog.get(run.pipeline).pipeline.auth_type == "admin_key":
            raise Denied(f"{run.pipeline} can only be run with the operator's key.")
