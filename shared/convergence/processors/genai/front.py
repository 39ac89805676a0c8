"""Which processor gives usage and cost of which LLM provider, and what a provider cannot give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ConfigDict

from convergence.config import ps_types
from convergence.errors import StepFailed, nearest
from convergence.ports.processor import Context
from convergence.processors.settings import Settings, settings

PROVIDERS: Final = ("openai", "anthropic")
# Why others have no usage or cost here, and what to take instead.
UNAVAILABLE: Final = {
    "gemini": (
        "the Gemini API has no endpoint for the usage or cost of a key; its cost is in the billing export of Google"
        " Cloud, by SKU and day"
    ),
    "vertex": (
        "Vertex AI gives tokens as metrics of Cloud Monitoring, without users and without prices; its cost is in the"
        " billing export of Google Cloud"
    ),
    "azure_openai": (
        "Azure OpenAI gives tokens as metrics of Azure Monitor, without keys; its cost is in Azure Cost Management"
    ),
    "deepseek": (
        "DeepSeek's API gives the prepaid balance only; deepseek/cost/balance records it, and what was spent is the"
        " difference of two balances"
    ),
}


class FrontSettings(Settings):
    """`provider`; all other keys are those of the provider's own processor. Dates are the run's."""

    model_config = ConfigDict(extra="allow", frozen=True)

    provider: str
    start_date: str = ""
    end_date: str = ""


async def pass_on(part: str, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Let `{provider}.{part}` do the step.

    Raises `StepFailed` for a provider that is unknown, or that cannot give it: nothing is invented.
    """
    wanted = settings(FrontSettings, step_config)
    if wanted.provider in UNAVAILABLE:
        raise StepFailed(f"{wanted.provider} has no {part} here: {UNAVAILABLE[wanted.provider]}")
    if wanted.provider not in PROVIDERS:
        known = (*PROVIDERS, *UNAVAILABLE)
        raise StepFailed(
            f"config.provider: no provider is called {wanted.provider!r}.{nearest(wanted.provider, known)}"
        )
    for name, day in (("start_date", context.start_date), ("end_date", context.end_date)):
        given = getattr(wanted, name)
        if given and given != day.isoformat():
            raise StepFailed(f"config.{name} is {given}, the run's is {day}: give dates to the run, not to the step")
    inner = ps_types.load(f"{wanted.provider}.{part}")
    return await inner.execute({**step_config, "config": wanted.model_extra or {}}, context)
