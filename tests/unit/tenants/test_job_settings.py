"""Where an org's warehouse jobs run: what its plan says, read once in five minutes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from convergence.adapters.local.documents.adapter import SqliteDocuments
from convergence.domain.quota import Limits
from convergence.ports.warehouse import JobSettings
from convergence.tenants.job_settings import PlanJobs
from convergence.tenants.orgs import Org, OrgStore
from tests.unit.processors.step_world import NOW, ManualClock

PLANS = """
SMALL: {daily: 1, monthly: 1, concurrent: 1, job_priority: BATCH}
LARGE:
  daily: 1
  monthly: 1
  concurrent: 1
  bigquery_project: large-jobs
  reservation: projects/a/reservations/r
  job_bytes_billed_max: 1000000000000
  job_minutes_max: 30
"""


def test_the_plan_decides_and_a_change_is_seen_after_five_minutes(tmp_path: Path) -> None:
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "plans.yml").write_text(PLANS)

    async def main() -> None:
        clock = ManualClock()
        orgs = OrgStore(SqliteDocuments(":memory:", clock))
        limits = Limits(daily=1, monthly=1, concurrent=1)
        for slug, plan in (("acme", "SMALL"), ("elsewhere", "THEIRS"), ("by_hand", "")):
            org = Org(slug=slug, name=slug, status="ACTIVE", limits=limits, created_at=NOW, plan=plan)
            await orgs.create(org)
        of = PlanJobs(orgs, tmp_path, clock)
        assert await of("acme") == JobSettings(priority="BATCH")
        for slug in ("elsewhere", "by_hand", "nobody"):
            assert await of(slug) == JobSettings()
        await orgs.change("acme", lambda org: replace(org, plan="LARGE"), token="t")
        assert (await of("acme")).priority == "BATCH"
        await clock.sleep(301)
        large = JobSettings("large-jobs", "projects/a/reservations/r", "INTERACTIVE", 10**12, 30)
        assert await of("acme") == large

    asyncio.run(main())
