"""The decision what to do with a delivery of a step. Pure: the engine reads, decides here, then acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum

from convergence.domain.crashes import suspect
from convergence.domain.plan import PlanStep
from convergence.domain.run import Run
from convergence.domain.status import StepStatus
from convergence.domain.step import Step


class Decision(Enum):
    """What the engine does next."""

    DROP = "nothing to do; acknowledge"
    WAKE_DEPENDENTS = "the step is done; wake its dependents, then acknowledge"
    FAIL_RUN = "the step failed; make sure the run has"
    WAIT = "not due; deliver again"
    SKIP = "its condition is false"
    DIED = "its owner died; count the crash"
    CRASHED = "its processes died too often while it ran alone"
    ISOLATE = "it has to run alone"
    BROKEN = "its plan cannot be carried out"
    CLAIM = "become its owner"


def decide(
    *,
    run: Run,
    planned: PlanStep,
    step: Step | None,
    dependencies: Sequence[Step | None],
    epoch: int,
    leased: bool,
    now: datetime,
    isolated: bool,
    crashes_max: int,
    condition: Callable[[], bool],
) -> Decision:
    """Return what to do with a delivery made for `epoch` (design: docs/engine.md §6, in its order).

    `leased`: an owner may be alive. `isolated`: nothing else runs in this process. `condition` is evaluated only when
    everything else allows a start.
    """
    if epoch != run.epoch or run.terminal != (planned.trigger is not None):
        return Decision.DROP
    if step is not None:
        decided = decide_known(step, epoch=epoch, leased=leased, now=now, end_step=planned.trigger is not None)
        if decided is not None:
            return decided
    if not all(dependency is not None and dependency.done for dependency in dependencies):
        return Decision.DROP  # hints may be early
    if not planned.enabled or not condition():
        return Decision.SKIP
    if step is not None and step.crashes_when_isolated >= crashes_max:
        return Decision.CRASHED
    if now >= run.deadline_at and planned.trigger is None:
        return Decision.DROP  # the reconciler fails the run
    if planned.problem is not None:
        return Decision.BROKEN
    return Decision.ISOLATE if step is not None and suspect(step) and not isolated else Decision.CLAIM


def decide_known(step: Step, *, epoch: int, leased: bool, now: datetime, end_step: bool) -> Decision | None:
    """Decide by the step's document; None when the step may start."""
    if step.done:
        return Decision.DROP if end_step else Decision.WAKE_DEPENDENTS
    if step.status is StepStatus.FAILED:
        return Decision.DROP if end_step else Decision.FAIL_RUN
    if step.epoch > epoch:
        return Decision.DROP
    if leased:  # also a replayed step whose former owner may still be at work
        return Decision.DROP
    if step.status is StepStatus.RUNNING:
        return Decision.DIED
    if step.status is StepStatus.RETRYING and step.not_before is not None and step.not_before > now:
        return Decision.WAIT
    return None
