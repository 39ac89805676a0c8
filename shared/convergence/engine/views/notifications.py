"""What a run's readers should know of its end steps: which of them failed, and that no notification went out."""

from __future__ import annotations

from collections.abc import Mapping

from convergence.config.files.notifications import CHANNELS
from convergence.domain.plan import Plan
from convergence.domain.run import Run
from convergence.domain.status import StepStatus
from convergence.engine.finish_run import matching_end_steps
from convergence.engine.store import StoredStep, record_id
from convergence.ports.processor import NOT_SET_UP


def unsent(run: Run, plan: Plan, stored: Mapping[str, StoredStep]) -> list[str]:
    """Return a sentence for each end step of an ended run that failed, and one when no notification was set up.

    A default notification that was not set up is mentioned only where none was sent another way.
    """
    if not run.terminal:
        return []
    failed, missing, sent = [], [], False
    for planned in matching_end_steps(run, plan):
        known = stored.get(record_id(planned, run.epoch))
        if known is None:
            continue
        step, notifies = known.step, planned.ps_type in CHANNELS.values()
        if step.status is StepStatus.FAILED:
            message = str((step.error or {}).get("message"))
            what = "no notification was sent" if notifies else "failed"
            failed.append(f"{planned.step_id}: {what}: {message}")
        elif reason := (step.result or {}).get(NOT_SET_UP):
            missing.append(str(reason))
        elif notifies and step.status is StepStatus.COMPLETED:
            sent = True
    nothing = [f"no notification was sent: {'; '.join(dict.fromkeys(missing))}"] if missing and not sent else []
    return failed + nothing
