"""What a delivery leads to, case by case (design: docs/engine.md §6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from convergence.domain.claim import Decision, decide
from convergence.domain.plan import PlanStep
from convergence.domain.status import RunStatus, StepStatus
from convergence.domain.step import Step
from tests.unit.domain.runs import T0, a_run

RUNNING = a_run(RunStatus.RUNNING)
PLANNED = PlanStep(step_id="s", ps_type="generic.noop", depends_on=("d",))
DONE = Step(step_id="d", status=StepStatus.COMPLETED)


def ask(**changes: Any) -> Decision:
    question: dict[str, Any] = {
        "run": RUNNING,
        "planned": PLANNED,
        "step": None,
        "dependencies": [DONE],
        "epoch": 0,
        "leased": False,
        "now": T0,
        "isolated": False,
        "crashes_max": 5,
        "condition": lambda: True,
    }
    return decide(**(question | changes))


def a_step(status: StepStatus, **fields: Any) -> Step:
    return Step(step_id="s", status=status, **fields)


CASES: list[tuple[str, dict[str, Any], Decision]] = [
    ("ready", {}, Decision.CLAIM),
    ("older message", {"epoch": 1}, Decision.DROP),
    ("run over", {"run": a_run(RunStatus.CANCELLED)}, Decision.DROP),
    ("completed", {"step": a_step(StepStatus.COMPLETED)}, Decision.WAKE_DEPENDENTS),
    ("skipped", {"step": a_step(StepStatus.SKIPPED)}, Decision.WAKE_DEPENDENTS),
    ("failed", {"step": a_step(StepStatus.FAILED)}, Decision.FAIL_RUN),
    ("owner at work", {"step": a_step(StepStatus.RUNNING), "leased": True}, Decision.DROP),
    ("owner gone", {"step": a_step(StepStatus.RUNNING)}, Decision.DIED),
    ("crashed in young processes", {"step": a_step(StepStatus.RETRYING, crashes=9)}, Decision.CLAIM),
    ("suspect", {"step": a_step(StepStatus.RETRYING, crashes_when_proven=2)}, Decision.ISOLATE),
    ("suspect alone", {"step": a_step(StepStatus.RETRYING, crashes_when_proven=2), "isolated": True}, Decision.CLAIM),
    ("not due", {"step": a_step(StepStatus.RETRYING, not_before=T0 + timedelta(seconds=9))}, Decision.WAIT),
    ("due", {"step": a_step(StepStatus.RETRYING, not_before=T0)}, Decision.CLAIM),
    ("replayed, former owner at work", {"step": a_step(StepStatus.RETRYING), "leased": True}, Decision.DROP),
    ("step of a newer epoch", {"step": a_step(StepStatus.RETRYING, epoch=1)}, Decision.DROP),
    ("dependency absent", {"dependencies": [None]}, Decision.DROP),
    ("dependency running", {"dependencies": [a_step(StepStatus.RUNNING)]}, Decision.DROP),
    ("condition false", {"condition": lambda: False}, Decision.SKIP),
    ("disabled", {"planned": replace(PLANNED, enabled=False)}, Decision.SKIP),
    ("crashed too often", {"step": a_step(StepStatus.RETRYING, crashes_when_isolated=5)}, Decision.CRASHED),
    ("past the deadline", {"now": RUNNING.deadline_at}, Decision.DROP),
    ("unresolvable", {"planned": replace(PLANNED, problem="no admin_email")}, Decision.BROKEN),
]


@pytest.mark.parametrize(("case", "changes", "expected"), CASES, ids=[case for case, _, _ in CASES])
def test_a_delivery_leads_to_one_decision(case: str, changes: dict[str, Any], expected: Decision) -> None:
    assert ask(**changes) is expected


def test_the_condition_is_not_asked_before_the_dependencies_are_done() -> None:
    def condition() -> bool:
        raise AssertionError("asked too early")

    assert ask(dependencies=[None], condition=condition) is Decision.DROP


def test_an_end_step_runs_only_once_the_run_is_over_and_never_ends_it() -> None:
    handler = PlanStep(step_id="h", ps_type="x.y", trigger="on_failure")
    over = a_run(RunStatus.FAILED)
    assert ask(planned=handler, dependencies=[]) is Decision.DROP
    assert ask(planned=handler, dependencies=[], run=over) is Decision.CLAIM
    assert ask(planned=handler, dependencies=[], run=over, step=a_step(StepStatus.COMPLETED)) is Decision.DROP
    assert ask(planned=handler, dependencies=[], run=over, step=a_step(StepStatus.FAILED)) is Decision.DROP
    assert ask(planned=handler, dependencies=[], run=over, now=over.deadline_at) is Decision.CLAIM
