"""One delivery's view of one step: what was read, and the only way to write the step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from convergence.domain.events import step_event
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.status import StepStatus
from convergence.domain.step import Step
from convergence.engine.finish_run import error_data
from convergence.engine.messages import publish_events
from convergence.engine.services import Services
from convergence.engine.store import StoredRun, StoredStep, commit, record_id, step_path, write
from convergence.ports.documents import Write


@dataclass(frozen=True)
class StepDelivery:
    """A step as it was read, with everything needed to move it on."""

    services: Services
    stored: StoredRun
    plan: Plan
    planned: PlanStep
    held: StoredStep

    @property
    def run(self) -> Run:
        """The run."""
        return self.stored.run

    @property
    def step(self) -> Step:
        """The step."""
        return self.held.step

    @property
    def is_end_step(self) -> bool:
        """True for a step outside the graph."""
        return self.planned.trigger is not None

    def now(self) -> datetime:
        """The engine's clock."""
        return self.services.clock.now()

    def error(self, code: str, message: str) -> dict[str, Any]:
        """Return an error of this step in the shape in which errors are stored."""
        return error_data(code, message, step_id=self.planned.step_id, at=self.now())

    async def move(
        self, to: StepStatus, reason: str, *extra: Write, at: datetime | None = None, **changes: Any
    ) -> Self:
        """Commit the step's next state, publish it, and return the delivery with it.

        Raises:
            Conflict: the step was written since it was read.
        """
        services = self.services
        token = services.ids.new("t")
        step = self.step.advance(to, at=self.now() if at is None else at, reason=reason, token=token, **changes)
        path = step_path(self.run, record_id(self.planned, self.run.epoch))
        versions = await commit(services.documents, [write(path, self.held.version, step.to_data()), *extra], token)
        services.cache.steps.keep(path, versions[0], step)
        await publish_events(services.bus, [step_event(self.run, self.plan, self.planned, step)])
        return changed(self, held=StoredStep(step, versions[0]))
