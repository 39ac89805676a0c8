"""A client that wants a run: asks until accepted, sometimes cancels, replays what failed."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from convergence.domain.step import Applied
from convergence.engine.cancel import cancel
from convergence.engine.dead_letters.act import replay_dead_letter
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.engine.replay import replay
from convergence.errors import ConvergenceError, InvalidInput, QuotaExceeded
from tests.simulation.faults import Killed, Process
from tests.simulation.secret import SECRET

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")
# What a healthy engine refuses: a replay that came too late, and an edit of parameters after the file has changed.
REFUSALS = ("replayed", "is finished", "has changed since")
ONCE = "runs only once"
TAKEN = "the idempotency key belongs to run"


class Client:
    """One request and what became of it."""

    judges = True  # its run is as it wanted it

    def __init__(self, world: World, number: int, org: str, shape: int, *, label: str | None = None) -> None:
        self.world = world
        self.shape = shape
        self.org = org
        self.run_id = ""
        self.content = False
        self.refused = False  # for good: nothing is wanted any more
        self._opens_s = 0.0
        self.request = RunRequest(
            org=org,
            pipeline=f"sim/chaos/shape{shape}",
            parameters={"api_key": SECRET} | ({} if label is None else {"label": label}),
            idempotency_key=f"client-{number}",
        )
        cancels, after_s = world.rng.random() < world.odds.cancelled, world.odds.cancelled_after_max_s
        self.cancels_after_s = world.rng.uniform(0, after_s) if cancels else None
        self._comes_back = world.rng.random() < world.odds.comes_back
        self.edits = world.rng.random() < 0.5
        self.latest = world.rng.random() < 0.5  # replays with the file as it is then
        self.effects: dict[str, Applied] = {}  # about writes that took effect with another input, by step
        self._by_dead_letter = not self.edits and world.rng.random() < 0.5

    @property
    def wanted_id(self) -> str:
        """The id of the run that the request makes: the same for the same key, in every release."""
        name = f"{self.org}\n{self.request.pipeline}\n{self.request.idempotency_key}"
        return f"run_{hashlib.blake2b(name.encode(), digest_size=10).hexdigest()}"

    @property
    def document(self) -> dict[str, Any]:
        """The run."""
        return self.world.state[f"runs/{self.run_id}"]

    async def run_scenario(self) -> None:
        """Live."""
        world = self.world
        await world.clock.sleep(0 if world.races else world.rng.uniform(0, 300))
        while not self.run_id and not self.refused:
            await self._obtain()
            if not self.run_id and not self.refused:
                await world.clock.sleep(self._opens_s + world.rng.uniform(0 if world.races else 5, 120))
        if self.run_id and self.cancels_after_s is not None:
            await world.clock.sleep(self.cancels_after_s)
            while await self.ask(lambda process: cancel(process.services, self.org, self.run_id)) is None:
                await world.clock.sleep(10)
        if self.run_id and (self.cancels_after_s is None or self._comes_back):
            await self._see_it_through()
        self.content = True

    async def _see_it_through(self) -> None:
        while self.document["status"] != "completed":
            if self.document["status"] in ("failed", "cancelled"):
                await self.ask(self._replay, opens=True)
            await self.world.clock.sleep(self.world.rng.uniform(10, 120))

    async def _obtain(self) -> None:
        """Ask once for the run."""
        mark, known = self._mark(), f"runs/{self.wanted_id}" in self.world.state
        run = await self.ask(lambda process: dispatch(process.services, self.request), opens=True)
        if run is None:
            return
        self.run_id = run.run_id
        if mark is not None and not known:
            raise self.world.violated(f"{self.run_id} was accepted, although {mark} had completed what runs once")

    async def _replay(self, process: Process) -> Any:
        services = process.services
        dead_letters = [path for path in self.world.state if path.startswith(f"dead_letters/{self.run_id}.")]
        newest = [path for path in dead_letters if path.endswith(f".{self.document['epoch']}")]
        edited = {"label": f"e{self.document['epoch'] + 1}"} if self.edits else None
        error = self.document["error"] or {}
        if error.get("code") == "step.applied_before":
            self.effects.setdefault(error["step_id"], self.world.rng.choice(list(Applied)))
        if self._by_dead_letter and newest and not self.effects:
            return await replay_dead_letter(services, self.org, newest[0].removeprefix("dead_letters/"))
        applied = {step_id: effect for step_id, effect in self.effects.items() if not self._is_done(step_id)}
        run = await replay(services, self.org, self.run_id, parameters=edited, latest=self.latest, applied=applied)
        found = self.world.watch.edition_of(self.run_id, run.plan_epoch)
        if self.latest and (run.plan_epoch != run.epoch or found != process.edition):
            raise self.world.violated(f"{self.run_id}: asked for edition {process.edition}, replayed with {found}")
        return run

    def _is_done(self, step_id: str) -> bool:
        step = self.world.state.get(f"runs/{self.run_id}/steps/{step_id}", {})
        return step.get("status") in ("completed", "skipped")

    def _mark(self) -> str | None:
        """Return the run that has completed this pipeline, if it runs once."""
        mark = self.world.state.get(f"once/{self.org}.{self.request.pipeline.replace('/', '.')}")
        return None if mark is None else str(mark["run_id"])

    async def ask(self, call: Callable[[Process], Awaitable[T]], *, opens: bool = False) -> T | None:
        """Return the answer, or None when there was none: no machine, a machine that died, a refusal to retry.

        `opens`: the call may start something, which a suspended org must not.
        """
        self._opens_s = 0.0
        process, suspended = self.world.any_process(), self.world.operator.suspended_since
        if process is None:
            return None
        since = suspended.get(self.org)
        try:
            answer = await call(process)
        except Killed:
            return None
        except ConvergenceError as error:
            self._note_refusal(error)
            return None
        if opens and since is not None and since == suspended.get(self.org):
            raise self.world.violated(f"{self.org} was suspended, and was given a run")
        return answer

    def _note_refusal(self, error: ConvergenceError) -> None:
        text = str(error)
        if isinstance(error, QuotaExceeded):
            self.world.quotas.refused[f"{text.split(maxsplit=1)[0]} {'replay' if self.run_id else 'run'}"] += 1
            self.refused = not self.run_id and "Monthly" in text  # it does not wait for the next month
            self._opens_s = error.retry_after_s or 0.0
        elif isinstance(error, InvalidInput):
            self.latest |= "has changed since" in text
            self.refused = not self.run_id and ((ONCE in text and self._mark() is not None) or self._is_taken(text))
            if not self.refused and not any(word in text for word in REFUSALS):
                self.world.errors.append(error)

    def _is_taken(self, text: str) -> bool:
        """True when another client's run has this client's key."""
        return TAKEN in text and f"runs/{self.wanted_id}" in self.world.state and self in self.world.rivals
