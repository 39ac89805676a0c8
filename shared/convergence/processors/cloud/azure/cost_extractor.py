"""`cloud.azure.cost_extractor`: bills of Azure → `cloud_azure_billing_raw_daily`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from convergence.ports.processor import Context
from convergence.processors.cloud.bill_extractor import BillSettings, load_bill
from convergence.processors.cloud.forms import AZURE_FORMS
from convergence.processors.files.settings import Source
from convergence.processors.settings import Destination, settings


class AzureBillSettings(BillSettings):
    """`export`: focus (FOCUS export), cost (actual or amortised cost export)."""

    export: Literal["focus", "cost"] = "focus"


class AzureBills:
    """The bills of the months that the run's days are in."""

    config_model = AzureBillSettings
    source_model = Source
    destination_model = Destination
    fixed_table = "cloud_azure_billing_raw_daily"
    resumable = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Load them; the result counts rows and names the deliveries."""
        options = settings(AzureBillSettings, step_config)
        return await load_bill(AZURE_FORMS[options.export], options, step_config, self.fixed_table, context)


def get_engine() -> AzureBills:
    """Return the processor."""
    return AzureBills()
