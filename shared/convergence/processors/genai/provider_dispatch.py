"""Which processor gives usage and cost of which LLM provider, and what a provider cannot give."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from pydantic import ConfigDict

from convergence.config.processors import ps_types
from convergence.errors import StepFailed, did_you_mean
from convergence.ports.processor import Context
from convergence.processors.settings import Settings, settings

# The reason a part is missing, and the alternative.
UNAVAILABLE: Final = {
    ("deepseek", "usage"): (
        "its API gives the prepaid balance only; genai/payg/deepseek records it, and what was spent is the difference"
        " of two balances, not split by model, key or kind of token"
    ),
}


class DispatchSettings(Settings):
    """`provider`; all other keys are those of the provider's own processor. Dates are the run's."""

    model_config = ConfigDict(extra="allow", frozen=True)

    provider: str
    start_date: str = ""
    end_date: str = ""


def providers(installed: Collection[str] | None = None) -> list[str]:
    """Return the providers with their own processor for usage or cost, by name."""
    names = ps_types.installed() if installed is None else installed
    parts = {tuple(name.split(".")) for name in names}
    return sorted({part[0] for part in parts if part[1:] in {("usage",), ("cost",)}})


async def delegate(part: str, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Let `{provider}.{part}` do the step.

    Raises `StepFailed` for a provider that is unknown, or that cannot give it: nothing is invented.
    """
    options = settings(DispatchSettings, step_config)
    if options.provider not in (known := providers()):
        similar = did_you_mean(options.provider, known)
        raise StepFailed(f"config.provider: no provider is called {options.provider!r}.{similar}")
    if reason := UNAVAILABLE.get((options.provider, part)):
        raise StepFailed(f"{options.provider} has no {part}: {reason}")
    for name, day in (("start_date", context.start_date), ("end_date", context.end_date)):
        given = getattr(options, name)
        if given and given != day.isoformat():
            raise StepFailed(f"config.{name} is {given}, the run's is {day}: give dates to the run, not to the step")
    inner = ps_types.load(f"{options.provider}.{part}")
    return await inner.execute({**step_config, "config": options.model_extra or {}}, context)
