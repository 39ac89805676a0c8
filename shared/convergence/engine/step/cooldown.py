"""Notifications that rest: the next one of a kind is sent to an org's readers when some time has passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from convergence.domain.plan import PlanStep
from convergence.domain.run import Run
from convergence.domain.times import from_text, to_text
from convergence.engine.services import Services
from convergence.engine.store import write
from convergence.errors import Conflict


async def rested(services: Services, run: Run, step: PlanStep) -> PlanStep:
    """Return the end step; with `resting_until` in its config while the last notification of this kind is too recent.

    The run that began the rest may send again: its step is retried. A replay of it, too.
    """
    config: Mapping[str, Any] = step.config.get("config") or {}
    seconds = config.get("cooldown_seconds")
    if not isinstance(seconds, int) or seconds <= 0:
        return step
    path, now = f"orgs/{run.org}/notices/{step.step_id}", services.clock.now()
    for _ in range(3):
        known = await services.documents.get(path)
        if known is not None and known.data["run_id"] != run.run_id and from_text(known.data["until"]) > now:
            return replace(step, config={**step.config, "config": {**config, "resting_until": known.data["until"]}})
        data = {"run_id": run.run_id, "until": to_text(now + timedelta(seconds=seconds))}
        try:
            await services.documents.commit([write(path, 0 if known is None else known.version, data)])
        except Conflict:
            continue
        return step
    return step  # others notify at the same moment: one mail more is better than none
