"""`vertex.throughputs`: scale units from Cloud Monitoring, and what the org's commitments say of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.processors.vertex.throughputs import row_of
from convergence.sandbox import google
from tests.unit.processors.installation import installed

TERMS = (
    "commitment_id,provider,units,unit_price,currency,billing_cycle,starts_on,ends_on,resource\n"
    "gsu-1,vertex,%d,2400,USD,monthly,2023-01-01,2032-12-31,%s\n"
)


def test_the_newest_units_are_listed_and_compared(tmp_path: Path) -> None:
    async def main() -> None:
        async with installed(tmp_path) as here:
            await here.set_up("vertex")
            place = {"vertex_project": google.PROJECT, "monitoring_url": here.url}
            warned = []
            for units, model in ((2, google.MODEL), (3, "gemini-gone")):
                text = TERMS % (units, model)
                await here.good("genai/commitment/edit", action="import", commitments_csv=text, replace=True)
                done = await here.good("vertex/commitment/throughputs", **place)
                warned.append(done["extract_throughputs"]["warnings"])
            assert warned == [
                [],
                [
                    f"the model '{google.MODEL}' has 2 GSU, the commitments have no GSU for it",
                    "the model 'gemini-gone' has no GSU, the commitments have 3 GSU for it",
                ],
            ]
            rows = await here.rows("SELECT project_id, location, model, units FROM vertex_throughputs_raw")
            assert [tuple(row.values()) for row in rows] == [(google.PROJECT, "us-central1", google.MODEL, 2)]
            refused = await here.run("vertex/commitment/throughputs", **{**place, "vertex_project": "other-project"})
            assert "Monitoring Viewer" in str(refused.error)

    asyncio.run(main())


@pytest.mark.parametrize(
    "series",
    [None, {}, {"resource": {"labels": {"model_user_id": "m"}}, "points": []}, {"resource": {"labels": {}}}],
)
def test_a_series_of_another_shape_is_an_error(series: Any) -> None:
    with pytest.raises(StepFailed, match="a series without model or whole-numbered points"):
        row_of(series, "p")
