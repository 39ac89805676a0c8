"""`genai.payg_usage`: an org's usage of any pay-as-you-go LLM provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.ports.processor import Context
from convergence.processors.genai.provider_dispatch import DispatchSettings, delegate
from convergence.processors.settings import settings


class UsageDispatch(DispatchSettings):
    """For usage."""

    part = "usage"


class PaygUsageProcessor:
    """Passes the step on to the provider's own processor."""

    config_model = UsageDispatch

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return what the provider's processor returns."""
        return await delegate(settings(UsageDispatch, step_config), step_config, context)


def get_engine() -> PaygUsageProcessor:
    """Return the processor."""
    return PaygUsageProcessor()
