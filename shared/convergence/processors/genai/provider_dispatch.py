"""Which processor gives usage and cost of which LLM provider; the registry says what a provider does not have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import ConfigDict

from convergence.config.files.providers import load_providers, provider_of
from convergence.config.processors import ps_types
from convergence.errors import StepFailed, did_you_mean
from convergence.ports.processor import Context
from convergence.processors.settings import Settings, settings

Part = Literal["usage", "cost"]


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


async def delegate(part: Part, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Let `{provider}.{part}` do the step.

    Raises `StepFailed` for a provider that is unknown, or that does not have this part: nothing is invented.
    """
    options = settings(DispatchSettings, step_config)
    registered = provider_of(load_providers(context.configs_dir), options.provider)
    if registered and (reason := registered.unavailable.get(part)):
        raise StepFailed(f"{options.provider} has no {part}: {reason}")
    if options.provider not in (known := providers()):
        similar = did_you_mean(options.provider, known)
        raise StepFailed(f"config.provider: no provider is called {options.provider!r}.{similar}")
    for name, day in (("start_date", context.start_date), ("end_date", context.end_date)):
        given = getattr(options, name)
        if given and given != day.isoformat():
            raise StepFailed(f"config.{name} is {given}, the run's is {day}: give dates to the run, not to the step")
    inner = ps_types.load(f"{options.provider}.{part}")
    return await inner.execute({**step_config, "config": options.model_extra or {}}, context)
