"""`genai.payg_usage`: what an org used of a pay-as-you-go LLM provider, whichever provider it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.ports.processor import Context
from convergence.processors.genai.provider_dispatch import DispatchSettings, delegate


class PaygUsageProcessor:
    """Hands the step to the provider's own processor."""

    config_model = DispatchSettings

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return what the provider's processor returns."""
        return await delegate("usage", step_config, context)


def get_engine() -> PaygUsageProcessor:
    """Return the processor."""
    return PaygUsageProcessor()
