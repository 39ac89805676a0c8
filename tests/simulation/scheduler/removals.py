"""What the scheduler is without one of its safeguards: each makes worlds break (test_scheduler_worlds.py)."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

import convergence.engine.dispatch as dispatch
from convergence.domain.queue import OrgQueue, queue_path
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.engine import cancel, finish_run, pause
from convergence.engine.backfills import feed
from convergence.engine.queue import admission, admit_next, handler, waiting
from convergence.engine.schedules import edit, fire, firing, states
from convergence.engine.schedules.store import StoredSchedule
from convergence.engine.services import Services
from convergence.engine.store import release_writes
from convergence.errors import ConvergenceError
from convergence.ports.documents import Create, Patch, Replace, Write
from convergence.tenants.orgs import OrgStore

Removal = Callable[[pytest.MonkeyPatch], None]


def no_version_of_a_schedule(patch: pytest.MonkeyPatch) -> None:
    commit: Any = vars(fire)["commit"]

    async def unconditional(documents: Any, writes: Sequence[Write], token: str) -> Any:
        forced: list[Write] = []
        for write in writes:
            stored = await documents.get(write.path) if write.path.startswith("schedules/") else None
            forced.append(
                Replace(write.path, stored.version, write.data) if stored and isinstance(write, Replace) else write
            )
        return await commit(documents, forced, token)

    patch.setattr(fire, "commit", unconditional)


def no_memory_of_firings(patch: pytest.MonkeyPatch) -> None:
    """Neither is a run's id that of its instant, nor does the document of a deleted schedule remember."""
    numbers = iter(range(10**9))
    patch.setattr(firing, "scheduled_run_id", lambda schedule_id, slot: f"run_{next(numbers)}")
    read: Any = vars(edit)["read_schedule"]

    async def forgetful(services: Services, schedule_id: str) -> StoredSchedule | None:
        stored: StoredSchedule | None = await read(services, schedule_id)
        return (
            None if stored is None else StoredSchedule(changed(stored.schedule, decided_through=None), stored.version)
        )

    patch.setattr(edit, "read_schedule", forgetful)


def no_fence_of_enqueues(patch: pytest.MonkeyPatch) -> None:
    rest: Any = vars(admit_next)["rest"]

    async def over_the_latest(services: Services, queue: OrgQueue, version: int, **options: Any) -> None:
        stored = await services.documents.get(queue.path)
        await rest(services, queue, version if stored is None else stored.version, **options)

    for module in (admission, admit_next):
        patch.setattr(module, "rest", over_the_latest)


def no_end_of_a_wait_at_an_enqueue(patch: pytest.MonkeyPatch) -> None:
    """An org that is ready again keeps the time at which it was to be looked at."""
    patch.setattr(waiting, "Patch", lambda path, marks, unset: Patch(path, marks))


def wakes_that_admit(patch: pytest.MonkeyPatch) -> None:
    async def greedy(services: Services, run: Run) -> bool:
        stored = await services.documents.get(queue_path(run.org))
        if stored is not None:
            queue = OrgQueue.from_data(stored.data)
            await admit_next.admit_next(services, queue, stored.version, queue.virtual_start)
        return True

    patch.setattr(handler, "wake_after", greedy)


def no_second_look_at_the_tag(patch: pytest.MonkeyPatch) -> None:
    def pop(heap: list[tuple[float, str]]) -> tuple[float, str]:
        return math.inf, heapq.heappop(heap)[1]

    patch.setattr(admission, "heapq", SimpleNamespace(heappop=pop, heappush=heapq.heappush, heapify=heapq.heapify))


def no_next_check_of_a_blocked_org(patch: pytest.MonkeyPatch) -> None:
    for name in ("_RECHECK_S", "_OPENS_MAX_S"):
        patch.setattr(admit_next, name, 1e8)


def no_release_of_caps(patch: pytest.MonkeyPatch) -> None:
    def kept(run: Run) -> list[Write]:
        return [write for write in release_writes(run) if not write.path.startswith("caps/")]

    for module in (finish_run, cancel):
        patch.setattr(module, "release_writes", kept)


def no_single_commit_of_a_backfill(patch: pytest.MonkeyPatch) -> None:
    commit: Any = vars(feed)["commit"]

    async def in_two(documents: Any, writes: Sequence[Write], token: str) -> Any:
        await commit(documents, writes[:1], token)
        return await documents.commit(writes[1:]) if writes[1:] else None

    patch.setattr(feed, "commit", in_two)


def no_word_of_a_pause_in_the_usage(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pause, "_usage_writes", lambda *_: [])


def no_look_at_pauses_in_the_start(patch: pytest.MonkeyPatch) -> None:
    reserve: Any = vars(dispatch)["reserve"]

    async def silent(*given: Any, **more: Any) -> Any:
        return replace(await reserve(*given, **more), paused={})

    patch.setattr(dispatch, "reserve", silent)


def no_fence_of_pauses(patch: pytest.MonkeyPatch) -> None:
    """A pause does not write the org's queue, so an admission that read the org before it goes on."""
    change: Any = OrgStore.change

    async def without(self: OrgStore, slug: str, edit: Any, *, token: str, also: Sequence[Write] = ()) -> Any:
        others = [write for write in also if write.path != queue_path(slug)]
        return await change(self, slug, edit, token=token, also=others)

    patch.setattr(OrgStore, "change", without)


def no_single_commit_of_a_chain(patch: pytest.MonkeyPatch) -> None:
    write_run: Any = vars(finish_run)["write_run"]

    async def in_two(services: Services, run: Run, version: int, *writes: Write) -> Any:
        later = [write for write in writes if isinstance(write, Create) and write.path.startswith("runs/")]
        written = await write_run(services, run, version, *(write for write in writes if write not in later))
        if later:
            await services.documents.commit(later)
        return written

    patch.setattr(finish_run, "write_run", in_two)


def no_place_for_instants_that_wait_for_their_jitter(patch: pytest.MonkeyPatch) -> None:
    def forgetful(schedule: Any, now: datetime) -> Any:
        return from_now(changed(schedule, slot=None), now)

    from_now: Any = vars(states)["from_now"]
    patch.setattr(states, "from_now", forgetful)


def no_word_of_an_edit_in_what_is_decided(patch: pytest.MonkeyPatch) -> None:
    """The new times count from the slot that an edit keeps, not from the edit."""
    patch.setattr(edit, "retimed", lambda before, after, now: states.from_now(after, now))


def no_patience_with_the_store(patch: pytest.MonkeyPatch) -> None:
    class Never(ConvergenceError):
        """Not raised by anything."""

    patch.setattr(fire, "Transient", Never)
