"""The project and billing of an org's warehouse jobs, as defined by its plan (`system/plans.yml`)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

from convergence.config.files.models import Plan
from convergence.errors import NotFound
from convergence.ports.clock import Clock
from convergence.ports.warehouse import JobSettings
from convergence.tenants.orgs import OrgStore
from convergence.tenants.plans import load_plans

_REMEMBERED: Final = timedelta(minutes=5)  # how long a process may use the settings of an earlier plan
_ORGS_MAX: Final = 10_000


class PlanJobs:
    """Answers for each org, from its document and the plans' file; remembered for five minutes."""

    def __init__(self, orgs: OrgStore, configs_dir: Path, clock: Clock) -> None:
        self._orgs, self._configs_dir, self._clock = orgs, configs_dir, clock
        self._known: dict[str, tuple[datetime, JobSettings]] = {}

    async def __call__(self, org: str) -> JobSettings:
        """Return the settings of an org's jobs; the defaults for an org or a plan that does not exist."""
        now = self._clock.now()
        known = self._known.get(org)
        if known is not None and now < known[0]:
            return known[1]
        if len(self._known) >= _ORGS_MAX:
            self._known.clear()
        settings = await self._read(org)
        self._known[org] = (now + _REMEMBERED, settings)
        return settings

    async def _read(self, org: str) -> JobSettings:
        try:
            plan = self._plans.get((await self._orgs.get(org)).plan)
        except NotFound:
            plan = None
        if plan is None:
            return JobSettings()
        return JobSettings(
            project=plan.bigquery_project,
            reservation=plan.reservation,
            priority=plan.job_priority,
            bytes_billed_max=plan.job_bytes_billed_max,
            minutes_max=plan.job_minutes_max,
        )

    @cached_property
    def _plans(self) -> dict[str, Plan]:
        return load_plans(self._configs_dir)
