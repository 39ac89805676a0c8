"""Finds the processors for usage and cost of each LLM provider; the registry lists what a provider does not have."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict

from convergence.config.files.providers import load_providers, provider_of
from convergence.config.processors import ps_types
from convergence.errors import StepFailed, did_you_mean
from convergence.ports.processor import SUCCESS, Context
from convergence.processors.genai.cost import CostProcessor
from convergence.processors.settings import Settings

Part = Literal["usage", "cost"]


class DispatchSettings(Settings):
    """`provider`; all other keys are those of the provider's own processor. Dates are the run's.

    Cost without a provider is that of all providers whose usage this pipeline has extracted and whose cost is computed.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    part: ClassVar[Part]
    provider: str = ""
    start_date: str = ""
    end_date: str = ""

    def delegates(self, configs_dir: Path) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Return the provider's own processor, or those of all providers whose part needs no credential.

        Raises `StepFailed` for a provider that is unknown, or that cannot provide it: no data is invented.
        """
        own = self.model_extra or {}
        if not self.provider:
            return [(f"{provider}.{self.part}", own) for provider in _computed(self.part)]
        if ps_types.is_installed(name := f"{self.provider}.{self.part}"):
            return [(name, own)]
        registered = provider_of(load_providers(configs_dir), self.provider)
        if registered and (reason := registered.unavailable.get(self.part)):
            raise StepFailed(f"{self.provider} has no {self.part}: {reason}")
        if self.provider not in (known := providers()):
            similar = did_you_mean(self.provider, known)
            raise StepFailed(f"config.provider: no provider is called {self.provider!r}.{similar}")
        return [(name, own)]


def providers(installed: Collection[str] | None = None) -> list[str]:
    """Return the providers with their own processor for usage or cost, by name."""
    names = ps_types.installed() if installed is None else installed
    parts = {tuple(name.split(".")) for name in names}
    return sorted({part[0] for part in parts if part[1:] in {("usage",), ("cost",)}})


async def delegate(options: DispatchSettings, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Run the provider's own processor; without a provider, each one whose usage is here.

    Raises `StepFailed` for a provider that is unknown, or that cannot provide it.
    """
    for name, day in (("start_date", context.start_date), ("end_date", context.end_date)):
        given = getattr(options, name)
        if given and given != day.isoformat():
            raise StepFailed(f"config.{name} is {given}, the run's is {day}: give dates to the run, not to the step")
    delegates = options.delegates(context.configs_dir)
    if options.provider:
        ((ps_type, config),) = delegates
        return await ps_types.load(ps_type).execute({**step_config, "config": config}, context)
    if step_config.get("destination"):
        raise StepFailed("without config.provider each provider's cost goes to its own table: remove destination")
    return await _all([(name, {**step_config, "config": config}) for name, config in delegates], context)


async def _all(delegates: Sequence[tuple[str, Mapping[str, Any]]], context: Context) -> Mapping[str, Any]:
    """Price the usage of every provider that this pipeline has extracted from, each under its own credential."""
    by_table: dict[str, Mapping[str, Any]] = {}
    for ps_type, config in delegates:
        processor = ps_types.load(ps_type)
        assert isinstance(processor, CostProcessor), "see _computed"
        own = await context.of_provider(ps_type.partition(".")[0])
        if await processor.has_usage(config, own):
            answer = await processor.execute(config, own)
            by_table[str(answer["table"])] = answer
    return {
        "status": SUCCESS,
        "rows_processed": sum(answer["rows_processed"] for answer in by_table.values()),
        "rows_written": sum(answer["rows_written"] for answer in by_table.values()),
        "tables": by_table,
        "warnings": [warning for answer in by_table.values() for warning in answer["warnings"]]
        or ([] if by_table else ["no provider's usage was extracted by this pipeline: there is nothing to price"]),
    }


def _computed(part: Part) -> list[str]:
    """Return the providers whose cost is computed from usage that is here: no credential is needed for it."""
    if part != "cost":
        raise StepFailed("config.provider is missing: usage comes from one provider, with its credential")
    named = [name for name in providers() if ps_types.is_installed(f"{name}.cost")]
    return [name for name in named if isinstance(ps_types.load(f"{name}.cost"), CostProcessor)]
