"""`azure_openai.deployments`: the deployments of one account as they are now → `azure_openai_deployments_raw`.

Provisioned ones have units (PTU), which are compared with the org's commitments: Azure has no API that reports what
they cost or for how long they were bought. Source: Azure Resource Manager, Cognitive Services, Deployments - List.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.azure_openai.api import AzureSettings, connect
from convergence.processors.genai.commitments.listed import committed, differences, store
from convergence.processors.http.paging import Answer, Call
from convergence.processors.settings import Destination, settings, table_of

TABLE: Final = "azure_openai_deployments_raw"
API_VERSION: Final = "2024-10-01"
SERVICE: Final = "Azure Resource Manager"
PROVISIONED: Final = "provisioned"  # part of the SKU's name: ProvisionedManaged, GlobalProvisionedManaged, …


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
        rows = list[Row]()
        async for answer, _ in client.walk(call, _following):
            rows += [{**row, "account_id": options.resource_id} for row in rows_of(answer.data)]
        listed = {row["name"]: row["units"] for row in rows if row["units"] is not None}
        warnings = [*differences(listed, await committed(context, "azure_openai"), "deployment", "PTU")]
        return await store(context, table_of(step_config, TABLE), rows, warnings)


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


def _following(answer: Answer, _: Call) -> Call | None:
    link = answer.data.get("nextLink") if isinstance(answer.data, dict) else None
    if not link:
        return None
    url = httpx.URL(str(link))
    return Call(str(url.copy_with(query=None)), tuple(url.params.multi_items()))


def get_engine() -> DeploymentsProcessor:
    """Return the processor."""
    return DeploymentsProcessor()
