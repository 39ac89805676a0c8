"""`genai.payg_cost`: the cost of an org's usage at list prices, for any LLM provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.ports.processor import Context
from convergence.processors.genai.provider_dispatch import DispatchSettings, delegate
from convergence.processors.settings import settings


class CostDispatch(DispatchSettings):
    """For cost."""

    part = "cost"


class PaygCostProcessor:
    """Passes the step on to the provider's own processor."""

    config_model = CostDispatch

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return what the provider's processor returns."""
        return await delegate(settings(CostDispatch, step_config), step_config, context)


def get_engine() -> PaygCostProcessor:
    """Return the processor."""
    return PaygCostProcessor()
