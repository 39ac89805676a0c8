"""Writes of a step that happen at most once across epochs, as long as their input does not change.

A process may die after the warehouse committed and before the state did; the replay is a new epoch and must know what
took effect in earlier ones. So each write has a name that does not depend on the epoch, its job id is a hash of run,
step, epoch and name, and before a write the same name is closed in every earlier epoch (design: docs/engine.md §12).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import orjson

from convergence.domain.plan import PlanStep
from convergence.domain.run import Run
from convergence.domain.step import Applied
from convergence.engine.services import Services
from convergence.engine.step.inputs import digest
from convergence.errors import AppliedBefore, NotDeterministic, PartlyCommitted, StillRunning
from convergence.ports.warehouse import Effect, Scope

if TYPE_CHECKING:
    from convergence.engine.step.lease import Lease

T = TypeVar("T")
Send = Callable[[str, str], Awaitable[T]]  # a job id and a fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A write before it is sent.

    `kind` is load, append, query or call. Writes of one `name` are counted; `what` says what is written: a table, a
    statement, a procedure. `repeatable`: sent again it leaves the same rows, so that no result of an earlier epoch is
    taken. `older` is the target as the version before named it.
    """

    kind: str
    name: str
    what: str
    repeatable: bool
    older: str


class _Done(NamedTuple):
    """A write of an earlier epoch that took effect."""

    epoch: int
    job_id: str
    effect: Effect


class Effects:
    """The writes of one execution, one after the other."""

    def __init__(self, services: Services, run: Run, planned: PlanStep, lease: Lease) -> None:
        self._services, self._run, self._planned, self._lease = services, run, planned, lease
        self._step = lease.held.step
        self._counts = Counter(self._step.writes)
        self._repeats: Counter[str] = Counter()
        self._earlier = [epoch for epoch in self._step.epochs if epoch < run.epoch]
        self._one_by_one = asyncio.Lock()

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each name was written, over all slices of this epoch."""
        return dict(self._counts)

    async def once(self, intent: Intent, send: Send[T], *, scope: Scope, wait_s: float | None = None) -> T:
        """Send a write, or take the result that it had in an earlier epoch.

        Raises:
            AppliedBefore: it took effect with different input, and the replay does not specify what to do about that.
            NotDeterministic: with the same input, something different was written.
            PartlyCommitted: it failed after a COMMIT of its own, and the replay does not say to run it again.
        """
        async with self._one_by_one:
            await self._lease.check()
            self._counts[intent.name] += 1
            self._repeats[intent.older] += 1
            try:
                done = await self._closed(intent, scope, wait_s)
                return await self._send(intent, done, send, scope)
            except StillRunning:  # the step comes back with the same call
                self._counts[intent.name] -= 1
                raise

    async def _closed(self, intent: Intent, scope: Scope, wait_s: float | None) -> list[_Done]:
        """Close the name in all earlier epochs, not only in the last; return what took effect, oldest first."""
        done = []
        for epoch in self._earlier:
            for job_id in self._names(intent, epoch):
                effect = await self._services.warehouse.close_job(job_id, scope=scope, wait_s=wait_s)
                if effect is not None:
                    done.append(_Done(epoch, job_id, effect))
        return done

    async def _send(self, intent: Intent, done: list[_Done], send: Send[T], scope: Scope) -> T:
        await self._lease.check()  # closing took time
        own = self._job_id(intent.kind, self._run.epoch, f"{intent.name}/{self._counts[intent.name]}")
        if done and not intent.repeatable:
            whole = [each for each in done if not each.effect.partial]
            same = [each for each in whole if self._is_same(each)]
            if same or self._step.applied is not Applied.AGAIN:
                if not whole:
                    raise PartlyCommitted(self._half(intent, done[-1]))
                last = (same or whole)[-1]
                return await send(last.job_id, self._accepted(intent, last))
        try:
            return await send(own, self._fingerprint(intent))
        except AppliedBefore:  # an earlier execution in this epoch, before a file changed
            effect = await self._services.warehouse.close_job(own, scope=scope)
            assert effect is not None, f"{own} took effect"
            return await send(own, self._accepted(intent, _Done(self._run.epoch, own, effect)))

    def _accepted(self, intent: Intent, done: _Done) -> str:
        """Return the fingerprint under which a result is taken; raise where it must not be."""
        known = done.effect.fingerprint
        if intent.repeatable or (self._step.applied is Applied.KEEP and not self._is_same(done)):
            return known
        if not self._is_same(done):
            raise AppliedBefore(self._message(intent, done))
        if known not in {"", self._fingerprint(intent)}:
            raise NotDeterministic(
                f"{self._planned.step_id}: {self._nth(intent)} took effect at {_time(done)}{_rows(done)}, but with the"
                f" same input the step now writes something different: {_value(intent.what)}."
                " A repeated step must write the same in the same order: fix its processor, then start a new run"
            )
        return known

    def _is_same(self, done: _Done) -> bool:
        """Return whether a write had this execution's input; for older releases the plan decides."""
        if done.effect.fingerprint:
            return done.effect.fingerprint.partition("-")[0] == self._step.input
        return self._run.plan_epoch <= done.epoch

    def _fingerprint(self, intent: Intent) -> str:
        return f"{self._step.input}-{digest(f'{intent.kind}/{intent.what}'.encode())}"

    def _names(self, intent: Intent, epoch: int) -> list[str]:
        names = [self._job_id(intent.kind, epoch, f"{intent.name}/{self._counts[intent.name]}")]
        if epoch < self._step.older_epochs:
            kind = "load" if intent.kind == "append" else intent.kind
            work = orjson.dumps(self._step.checkpoint).decode()
            names.append(self._job_id(kind, epoch, f"{intent.older}/{self._repeats[intent.older]}/{work}"))
        return names

    def _job_id(self, kind: str, epoch: int, name: str) -> str:
        return job_id(self._run, self._planned, kind, epoch, name)

    def _nth(self, intent: Intent) -> str:
        return f"its {intent.kind} number {self._counts[intent.name]}"

    def _message(self, intent: Intent, done: _Done) -> str:
        step_id = self._planned.step_id
        return (
            f"{step_id}: {self._nth(intent)} took effect at {_time(done)}{_rows(done)} with another input:"
            f" {self._difference(done.epoch)}. Replay the run with --keep {step_id} to take what was written, with"
            f" --again {step_id} to write a second time, or with the former parameters"
        )

    def _half(self, intent: Intent, done: _Done) -> str:
        step_id = self._planned.step_id
        return (
            f"{step_id}: {self._nth(intent)} failed at {_time(done)} after a part of its work was committed. Look at"
            f" what it wrote, then replay the run with --again {step_id} to call it a second time"
        )

    def _difference(self, epoch: int) -> str:
        former, now = self._run.parameters_in(epoch), self._run.parameters
        changed = [name for name in sorted({*former, *now}) if former.get(name) != now.get(name)]
        changes = [f"{name} was {_value(former.get(name))} and is {_value(now.get(name))}" for name in changed]
        return "; ".join(changes) or "its configuration, or a file that it names, has changed"


def job_id(run: Run, planned: PlanStep, kind: str, epoch: int, name: str) -> str:
    """Return the id of a job of a step in an epoch."""
    return job_id_of(run.run_id, planned.step_id, kind, epoch, name)


def job_id_of(run_id: str, step_id: str, kind: str, epoch: int, name: str) -> str:
    """Return the id of a job by the names of what it belongs to."""
    whole = f"{run_id}/{step_id}/{epoch}/{name}"
    return f"{kind}_{hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()}"


def idempotency_key(run: Run, planned: PlanStep, number: int) -> str:
    """Return what names the n-th call of a step to others, in whichever epoch it is made."""
    return hashlib.blake2b(f"{run.run_id}/{planned.step_id}/{number}".encode(), digest_size=16).hexdigest()


def _time(done: _Done) -> str:
    return f"{done.effect.at:%Y-%m-%d %H:%M:%S} UTC"


def _rows(done: _Done) -> str:
    return "" if done.effect.rows is None else f" ({done.effect.rows} rows)"


def _value(value: object) -> str:
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= 80 else f"{text[:80]}…"
