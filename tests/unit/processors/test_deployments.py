"""`azure_openai.deployments` against the sandbox: pages, units, and what the org's commitments say of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.processors.azure_openai.deployments import rows_of
from convergence.sandbox import azure
from tests.unit.processors.installation import Here, installed

PIPELINE = "azure_openai/commitment/deployments"
TERMS = (
    "commitment_id,provider,units,unit_price,currency,billing_cycle,starts_on,ends_on,resource\n"
    "ptu-1,azure_openai,10,260,USD,monthly,2023-01-01,2032-12-31,coding\n"
    "ptu-2,azure_openai,5,260,USD,monthly,2023-01-01,2032-12-31,%s\n"
)


def warnings_of(folder: Path, resource: str) -> tuple[list[str], list[Mapping[str, Any]]]:
    """Return the warnings of a listing, whose org has 10 units for `coding` and 5 for `resource`; and the rows."""

    async def main() -> tuple[list[str], list[Mapping[str, Any]]]:
        async with installed(folder) as here:
            await here.set_up("azure_openai")
            await here.good("genai/commitment/edit", action="import", commitments_csv=TERMS % resource)
            for _ in range(2):  # the same day again replaces its rows
                done = await here.good(PIPELINE, **here.asks("azure_openai"))
            return done["extract_deployments"]["warnings"], await rows(here)

    return asyncio.run(main())


async def rows(here: Here) -> list[Mapping[str, Any]]:
    return await here.rows("SELECT name, sku, units, model, account_id FROM azure_openai_deployments_raw ORDER BY name")


def test_deployments_are_listed_with_their_units(tmp_path: Path) -> None:
    warnings, found = warnings_of(tmp_path, "coding")
    assert warnings == []
    assert [(row["name"], row["sku"], row["units"]) for row in found] == [
        ("coding", "ProvisionedManaged", 15),
        ("coding-batch", "GlobalBatch", None),
    ]
    assert {(row["model"], row["account_id"]) for row in found} == {(azure.MODEL, azure.RESOURCE)}


def test_units_that_differ_from_the_commitments_are_warnings(tmp_path: Path) -> None:
    warnings, _ = warnings_of(tmp_path, "gone")
    assert warnings == [
        "the deployment 'coding' has 15 PTU, the commitments have 10 PTU for it",
        "the deployment 'gone' has no PTU, the commitments have 5 PTU for it",
    ]


@pytest.mark.parametrize("page", [{}, {"value": [{"name": "a"}]}, [], {"value": None}])
def test_an_answer_of_another_shape_is_an_error(page: Any) -> None:
    with pytest.raises(StepFailed, match="the list of deployments has an unexpected shape"):
        rows_of(page)
