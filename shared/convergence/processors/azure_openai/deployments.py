"""`azure_openai.deployments`: the deployments of one account as they are now → `azure_openai_deployments_raw`.

Provisioned ones have units (PTU), which are compared with the org's commitments: Azure has no API that reports what
they cost or for how long they were bought. Source: Azure Resource Manager, Cognitive Services, Deployments - List.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import httpx

from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Row
from convergence.processors.azure_openai.api import AzureSettings, connect
from convergence.processors.balance import balanced
from convergence.processors.genai.commitment_terms import CommitmentEditor
from convergence.processors.genai.commitments.terms import Commitment
from convergence.processors.http.paging import Answer, Call
from convergence.processors.settings import Destination, settings, table_of

TABLE: Final = "azure_openai_deployments_raw"
API_VERSION: Final = "2024-10-01"
SERVICE: Final = "Azure Resource Manager"
PROVISIONED: Final = "provisioned"  # part of the SKU's name: ProvisionedManaged, GlobalProvisionedManaged, …
NAMED_MAX: Final = 10  # warnings of a run


class DeploymentsProcessor:
    """One list; the rows of a day are those of its last listing."""

    config_model = AzureSettings
    destination_model = Destination
    fixed_table = TABLE

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """List, and replace the rows of today; units that differ from the commitments' are warnings.

        Raises:
            StepFailed: an answer of another shape.
            CredentialRejected: the app may not list deployments.
        """
        options = settings(AzureSettings, step_config)
        client = await connect(context, options, SERVICE)
        call = Call(f"{options.resource_id}/deployments", (("api-version", API_VERSION),))
        today, rows = context.now().date(), list[Row]()
        async for answer, _ in client.walk(call, _following):
            rows += [{**row, "listed_on": today, "account_id": options.resource_id} for row in rows_of(answer.data)]
        stage = context.warehouse.stage(table_of(step_config, TABLE))
        await stage.write(0, rows)
        known = (await CommitmentEditor().stored(context)).values()
        loaded = await context.warehouse.load(stage, dates=[today], date_field="listed_on")
        return {
            "status": SUCCESS,
            "rows_processed": len(rows),
            "rows_written": loaded.rows_loaded,
            "table": stage.table,
            **balanced(len(rows), loaded=loaded.rows_loaded),
            "warnings": list(differences(rows, known, today))[:NAMED_MAX],
        }


def rows_of(page: Any) -> Sequence[Row]:
    """Return the rows of a page. Raises `StepFailed` for one of another shape."""
    try:
        return [
            {
                "name": str(each["name"]),
                "model": each["properties"]["model"]["name"],
                "model_version": each["properties"]["model"].get("version"),
                "sku": each["sku"]["name"],
                "units": int(each["sku"]["capacity"]) if PROVISIONED in each["sku"]["name"].lower() else None,
                "status": each["properties"].get("provisioningState"),
                "raw": each,
            }
            for each in page["value"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StepFailed(f"{SERVICE}: the list of deployments has an unexpected shape ({error!r})") from error


def differences(rows: Iterable[Row], known: Iterable[Commitment], day: date) -> Iterator[str]:
    """Yield where the units of deployments are not those of the day's commitments."""
    listed = {row["name"]: row["units"] for row in rows if row["units"] is not None}
    bought: dict[str, int] = {}
    for each in known:
        if each.provider == "azure_openai" and each.resource is not None and each.covers(day):
            bought[each.resource] = bought.get(each.resource, 0) + each.units
    for name in sorted(listed.keys() | bought.keys()):
        if listed.get(name) != bought.get(name):
            has = f"has {listed[name]} PTU" if name in listed else "is not among the account's provisioned ones"
            yield f"the deployment {name!r} {has}, the commitments have {bought.get(name, 0)} PTU for it"


def _following(answer: Answer, _: Call) -> Call | None:
    link = answer.data.get("nextLink") if isinstance(answer.data, dict) else None
    if not link:
        return None
    url = httpx.URL(str(link))
    return Call(str(url.copy_with(query=None)), tuple(url.params.multi_items()))


def get_engine() -> DeploymentsProcessor:
    """Return the processor."""
    return DeploymentsProcessor()
