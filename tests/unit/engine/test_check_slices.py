"""A backfill whose slices a pipeline would not follow is confirmed before it starts."""

from __future__ import annotations

import pytest

from convergence.domain.backfill import Step
from convergence.engine.backfills.check_slices import check_slices
from convergence.errors import InvalidInput
from tests.unit.engine.conftest import Engine

NOOP = "steps: [{{step_id: load_a, ps_type: generic.noop, config: {{note: '{text}'}}}}]"


@pytest.mark.parametrize(
    ("text", "step", "refused"),
    [
        ("{date}", Step.DAY, ""),
        ("{date}", Step.WEEK, "reads one day ({date}): a run of a week would process only its last day"),
        ("{year}-{month}-{day}", Step.MONTH, "reads one day ({day})"),
        ("{year}-{month}", Step.MONTH, ""),
        ("{start_date} {date}", Step.MONTH, ""),
        ("{fire_date}", Step.DAY, "reads its day from {fire_date}, the day on which a run starts"),
        ("{{date}}", Step.DAY, "every slice would process the same day"),
        ("{yesterday}", Step.WEEK, "reads its day from {yesterday}"),
        ("{fire_date} of {date}", Step.DAY, ""),
        ("nothing", Step.MONTH, ""),
    ],
)
def test_templates_that_do_not_follow_a_slice_are_refused(engine: Engine, text: str, step: Step, refused: str) -> None:
    engine.pipeline(NOOP.format(text=text))

    async def scenario() -> None:
        if not refused:
            check_slices(engine.services, "p/d/n", step)
            return
        with pytest.raises(InvalidInput) as caught:
            check_slices(engine.services, "p/d/n", step)
        assert refused in str(caught.value)
        assert "confirm it with --force" in str(caught.value)

    engine.run_scenario(scenario)


def test_a_pipeline_that_is_not_there_is_left_to_the_backfill(engine: Engine) -> None:
    async def scenario() -> None:
        check_slices(engine.services, "p/d/other", Step.WEEK)

    engine.run_scenario(scenario)
