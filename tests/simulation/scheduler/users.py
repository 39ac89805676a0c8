"""People who own schedules and backfills: they change them whenever they like, and remember what was acknowledged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from convergence.domain.backfill import Backfill
from convergence.domain.records import changed
from convergence.domain.schedule import Blackout, Missed, Overlap, Schedule, Timing
from convergence.engine.backfills import feed
from convergence.engine.backfills.create import BackfillRequest, create_backfill
from convergence.engine.dispatch import dispatch
from convergence.engine.pause import pause_pipeline, resume_pipeline
from convergence.engine.prepare_run import RunRequest
from convergence.engine.schedules import edit
from convergence.engine.schedules.store import read_schedule
from convergence.engine.services import Services
from convergence.errors import Conflict, Denied, InvalidInput, NotFound, QuotaExceeded, Transient
from tests.simulation.faults import Killed

if TYPE_CHECKING:
    from tests.simulation.scheduler.world import SchedulerWorld

OFTEN, FIRING_S = "*/15 * * * *", 900.0
CRONS = ("*/7 * * * *", "*/15 * * * *", "*/30 * * * *", "11 * * * *")


class User:
    """Asks until there is an answer."""

    def __init__(self, world: SchedulerWorld, number: int, org: str, pipeline: str = "") -> None:
        self.world, self.number, self.org, self.done = world, number, org, False
        self.pipeline = pipeline or world.rng.choice(["p/d/n", "q/d/n"])

    async def live(self) -> None:
        """Do what such a user does, until the world is calm; then `done` is set."""
        raise NotImplementedError

    async def ask(self, what: Callable[[Services], Awaitable[Any]]) -> Any:
        """Return the answer of a machine that lives; None when what was asked makes no sense (any more)."""
        while True:
            process = self.world.any_process()
            try:
                if process is not None:
                    return await what(process.services)
            except (InvalidInput, NotFound):
                return None
            except (Killed, Transient, Conflict):
                pass
            await self.world.clock.sleep(self.world.rng.uniform(1, 10))


class ScheduleUser(User):
    """Owns one schedule."""

    def __init__(self, world: SchedulerWorld, number: int, org: str) -> None:
        super().__init__(world, number, org)
        self._id = ""
        self._more = Random(f"{world.seed} {number} blackouts")  # of its own: what others draw stays as it was

    def _timing(self) -> Timing:
        rng = self.world.rng
        return Timing(
            cron=rng.choice(CRONS),
            missed=rng.choice(list(Missed)),
            overlap=rng.choice(list(Overlap)),
            jitter_s=rng.choice([0, 0, 600]),
            starting_deadline_s=rng.choice([120, 86_400]),
            end=self.world.until,
            blackouts=self._blackouts(),
        )

    def _blackouts(self) -> tuple[Blackout, ...]:
        if self._more.random() < 0.6:
            return ()
        start = self.world.clock.now() + timedelta(seconds=self._more.uniform(-600, 1800))
        return (Blackout(start=start, end=start + timedelta(seconds=self._more.uniform(60, 2400))),)

    async def live(self) -> None:
        world, rng = self.world, self.world.rng
        await self._create(self._timing())
        while world.hostile and world.setting.recreates:
            await world.clock.sleep(FIRING_S - world.loop.now_s % FIRING_S + rng.uniform(-60, 30))
            await self._recreate()
        actions = [self._pause, self._resume, self._edit, self._delete, self._touch]
        while world.hostile:
            await world.clock.sleep(rng.uniform(60, 1500))
            if world.hostile:
                await rng.choice(actions)()
        self.done = True

    async def _create(self, timing: Timing) -> None:
        def make(services: Services) -> Awaitable[Schedule]:
            name = f"n{self.number}"
            provider = self.pipeline[0]
            made = edit.new_schedule(
                services, org=self.org, pipeline=self.pipeline, provider=provider, timing=timing, name=name
            )
            self._id = made.schedule_id
            return self._unless_there(services, made)

        await self.ask(make)

    async def _unless_there(self, services: Services, made: Schedule) -> Any:
        self._wake()
        stored = await read_schedule(services, made.schedule_id)
        if stored is None or stored.schedule.state == "deleted":
            await edit.create(services, made)

    def _wake(self) -> None:
        self.world.ledger.quiet.discard(self._id)
        self.world.ledger.resting.pop(self._id, None)

    async def _pause(self) -> None:
        if await self.ask(lambda services: edit.pause(services, self.org, self._id)):
            self.world.ledger.quiet.add(self._id)

    async def _resume(self) -> None:
        self._wake()
        catch_up = self.world.rng.random() < 0.5
        await self.ask(lambda services: edit.resume(services, self.org, self._id, catch_up=catch_up))

    async def _touch(self) -> None:
        """Resume what may well be running, or pause it for a while."""
        if self.world.rng.random() < 0.5:
            await self._resume()
            return
        self._wake()
        until = self.world.clock.now() + timedelta(seconds=self.world.rng.uniform(200, 1200))
        if await self.ask(lambda services: edit.pause(services, self.org, self._id, until=until)):
            self.world.ledger.resting[self._id] = until

    async def _edit(self) -> None:
        timing = self._timing()
        await self.ask(
            lambda services: edit.edit_schedule(
                services, self.org, self._id, lambda known: changed(known, timing=timing)
            )
        )

    async def _delete(self) -> None:
        if await self.ask(lambda services: edit.delete(services, self.org, self._id)):
            self.world.ledger.quiet.add(self._id)
            await self.world.clock.sleep(self.world.rng.choice([0, 1, 300]))
            await self._create(self._timing())

    async def _recreate(self) -> None:
        if await self.ask(lambda services: edit.delete(services, self.org, self._id)):
            await self._create(replace(self._timing(), cron=OFTEN, jitter_s=0))


class BackfillUser(User):
    """Owns one backfill."""

    async def live(self) -> None:
        world, rng = self.world, self.world.rng
        request = BackfillRequest(
            org=self.org,
            pipeline=self.pipeline,
            start=date(2026, 1, 1),
            end=date(2026, 1, rng.randint(2, 12)),
            concurrency=rng.randint(1, 3),
            failures_max=rng.choice([1, 100]),
        )
        await world.clock.sleep(rng.uniform(0, 900))
        made: Backfill = await self.ask(lambda services: create_backfill(services, request))
        while world.hostile and rng.random() < 0.8:
            await world.clock.sleep(rng.uniform(30, 900))
            await rng.choice([self._pause, self._pause, self._resume, self._resume, self._cancel])(made.backfill_id)
        await world.clock.sleep(max(0.0, 5400 - world.loop.now_s))
        await self._resume(made.backfill_id)
        self.done = True

    async def _pause(self, backfill_id: str) -> None:
        if await self.ask(lambda services: feed.pause(services, self.org, backfill_id)):
            self.world.ledger.quiet.add(backfill_id)

    async def _resume(self, backfill_id: str) -> None:
        self.world.ledger.quiet.discard(backfill_id)
        await self.ask(lambda services: feed.resume(services, self.org, backfill_id))

    async def _cancel(self, backfill_id: str) -> None:
        if await self.ask(lambda services: feed.cancel_backfill(services, self.org, backfill_id)):
            self.world.ledger.quiet.add(backfill_id)


class PauseUser(User):
    """Pauses and resumes one pipeline of an org; the ledger knows when a pause was acknowledged."""

    async def live(self) -> None:
        world, rng = self.world, self.world.rng
        key = self.org, self.pipeline
        while world.hostile:
            await world.clock.sleep(rng.uniform(60, 600))
            if await self.ask(lambda services: pause_pipeline(services, *key)):
                world.ledger.paused.add(key)
            await world.clock.sleep(rng.uniform(30, 600))
            world.ledger.paused.discard(key)
            await self.ask(lambda services: resume_pipeline(services, *key))
        self.done = True


class StartUser(User):
    """Starts runs that do not wait in the queue; one that is refused is not asked for again."""

    async def live(self) -> None:
        world, rng = self.world, self.world.rng
        number = 0
        while world.hostile:
            await world.clock.sleep(rng.uniform(20, 400))
            number += 1
            request = RunRequest(org=self.org, pipeline=self.pipeline, idempotency_key=f"{self.number}.{number}")
            with suppress(Denied, QuotaExceeded):
                await self.ask(partial(dispatch, request=request))
        self.done = True
