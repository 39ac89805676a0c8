"""What a backfill is asked with: its credential is checked, and its view shows all of it."""

from __future__ import annotations

from datetime import date

import pytest

from convergence.domain.backfill import Step
from convergence.domain.times import to_text
from convergence.engine.backfills.create import create_backfill, plan_backfill
from convergence.engine.backfills.views import backfill_view
from convergence.errors import InvalidInput
from tests.unit.engine.backfilling import request
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import one


def test_a_plan_with_a_credential_that_the_org_has_not_is_refused(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        theirs = await engine.services.credentials.store("acme", "p", "key", name="default")
        assert (await plan_backfill(engine.services, request(credential_id=theirs))).backfill.credential_id == theirs
        with pytest.raises(InvalidInput, match="acme has no p credential 'crd_nope'"):
            await plan_backfill(engine.services, request(credential_id="crd_nope"))

    engine.run_scenario(scenario)


def test_a_view_of_a_backfill_has_all_that_was_asked_for_and_how_far_it_is(engine: Engine) -> None:
    engine.pipeline(one())

    async def scenario() -> None:
        asked = request(start=date(2026, 1, 1), end=date(2026, 1, 16), step=Step.WEEK, concurrency=2, failures_max=3)
        made = await create_backfill(engine.services, asked)
        assert backfill_view(made) == {
            "backfill_id": made.backfill_id,
            "org": "acme",
            "pipeline": "p/d/n",
            "start": "2026-01-01",
            "end": "2026-01-16",
            "step": "week",
            "mode": "missing",
            "order": "newest",
            "concurrency": 2,
            "failures_max": 3,
            "status": "running",
            "reason": "",
            "counts": made.counts(),
            "slices": 3,
            "progress": 0,
            "window": [],
            "created_at": to_text(made.created_at),
            "updated_at": to_text(made.updated_at),
        }

    engine.run_scenario(scenario)
