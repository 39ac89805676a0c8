"""`cloud.aws.bedrock_usage`: tokens and requests of Bedrock by day, region and model → `genai_metrics_daily_raw`.

Usage that complements the bill of AWS, which has the cost: metrics have no prices, and do not enter a cost table.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from pydantic import Field

from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.base import TableProcessor
from convergence.processors.cloud.aws.bedrock.metrics import LISTED_DAYS, METRICS, sums
from convergence.processors.settings import CredentialSettings, settings

PROVIDER: Final = "bedrock"


class BedrockUsageSettings(CredentialSettings):
    """`regions`: all that the credential's account uses; a run replaces its days. `url`: a stand-in on this machine.

    `listed_days`: how far back metrics are listed; more than 14 are for a stand-in.
    """

    secret: str = "aws"  # noqa: S105 - the name of a secret
    regions: Sequence[str] = Field(min_length=1, max_length=50)
    listed_days: int = Field(default=LISTED_DAYS, ge=1, le=3_660)
    url: str = ""


class BedrockUsage(TableProcessor):
    """Extracts one sum for each day, region, model and metric."""

    config_model = BedrockUsageSettings
    fixed_table = "genai_metrics_daily_raw"
    provider = PROVIDER
    date_field = "usage_date"

    async def extract(self, step_config: Mapping[str, Any], context: Context) -> AsyncIterator[Sequence[Row]]:
        """Yield the rows of one region after the other. Raises `StepFailed` for days that can no longer be listed."""
        options = settings(BedrockUsageSettings, step_config)
        oldest = context.now().date() - timedelta(days=options.listed_days - 1)
        if context.start_date < oldest:
            raise StepFailed(
                f"CloudWatch lists metrics of the last {options.listed_days} days: of days before {oldest} models could"
                " be missing"
            )
        secret = await context.secrets.open(options.secret)
        identity = await (await context.aws.open("sts", secret, url=options.url)).call("get_caller_identity", {})
        for region in dict.fromkeys(options.regions):
            api = await context.aws.open("cloudwatch", secret, region=region, url=options.url)
            async for found in sums(api, context.start_date, context.end_date):
                yield [
                    {
                        "usage_date": each.day,
                        "provider": PROVIDER,
                        "account_id": str(identity["Account"]),
                        "sub_account_id": region,
                        "model": each.model,
                        "sku": METRICS[each.metric][0],
                        "quantity": each.quantity,
                        "unit": METRICS[each.metric][1],
                    }
                    for each in found
                    if each.quantity
                ]


def get_engine() -> BedrockUsage:
    """Return the processor."""
    return BedrockUsage()
