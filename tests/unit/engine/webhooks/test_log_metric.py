"""The log metric of failed deliveries finds the line that the engine writes for one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from convergence.engine.webhooks.send import send_test
from tests.unit.engine.conftest import Engine
from tests.unit.engine.webhooks.receiver import listening

INFRA = Path(__file__).parents[4] / "infra" / "monitoring.tf"


def test_the_metric_counts_a_delivery_that_failed_and_no_other(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    metric = (
        INFRA.read_text("utf-8").split('"google_logging_metric" "failed_deliveries"')[1].split("metric_descriptor")[0]
    )
    (pattern,) = set(re.findall(r'=~\\"(.+?)\\"', metric))

    async def scenario() -> None:
        receiver, webhook_id, _ = await listening(engine)
        receiver.answers = [204, 500]
        for expected in (0, 1):
            await send_test(engine.services, "acme", webhook_id)
            found = [each for each in caplog.records if re.search(pattern, each.getMessage())]
            assert len(found) == expected

    engine.run_scenario(scenario)
