"""`cloud.aws.cur_extractor`: bills of AWS → `cloud_aws_billing_raw_daily`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from convergence.ports.processor import Context
from convergence.processors.cloud.bill_extractor import BillSettings, load_bill
from convergence.processors.cloud.forms import AWS_FORMS
from convergence.processors.files.settings import Source
from convergence.processors.settings import Destination, settings


class AwsBillSettings(BillSettings):
    """`export`: focus (FOCUS 1.2 or 1.0 Data Export), cur_2 (CUR 2.0), cur_legacy (Cost and Usage Report)."""

    export: Literal["focus", "cur_2", "cur_legacy"] = "focus"


class AwsBills:
    """The bills of the months that the run's days are in."""

    config_model = AwsBillSettings
    source_model = Source
    destination_model = Destination
    fixed_table = "cloud_aws_billing_raw_daily"
    resumable = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Load them; the result counts rows and names the deliveries."""
        options = settings(AwsBillSettings, step_config)
        return await load_bill(AWS_FORMS[options.export], options, step_config, self.fixed_table, context)


def get_engine() -> AwsBills:
    """Return the processor."""
    return AwsBills()
