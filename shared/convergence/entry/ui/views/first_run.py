"""The three steps of an org to its first costs: which of them are done, and what the next one needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from convergence.config.loader import LoadedPipeline
from convergence.engine.services import Services
from convergence.errors import InvalidInput

SETUP: Final = "/auth/setup"
_USUAL: Final = "openai"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRun:
    """What the steps show. `providers` can be connected with a single key; `pipeline` is the one to run first."""

    providers: Sequence[str]
    connected: Sequence[str]
    pipeline: str


async def first_run(services: Services, org: str, pipelines: Sequence[LoadedPipeline]) -> FirstRun:
    """Return the steps of an org without data."""
    connected = sorted({each.provider for each in await services.credentials.all(org)})
    providers = [_provider(each) for each in pipelines if key_of(each)]
    return FirstRun(
        providers=sorted(providers, key=lambda name: (name != _USUAL, name)),
        connected=connected,
        pipeline=_first_pipeline(connected[0] if connected else _USUAL, pipelines),
    )


def is_setup(path: str) -> bool:
    """Return whether a pipeline connects a provider, or tests its connection: its runs bring no costs."""
    return "/auth/" in path


def key_of(loaded: LoadedPipeline) -> str:
    """Return the name of the one parameter that sets a provider up, a secret; empty when it takes more or another."""
    required = [name for name, spec in loaded.pipeline.parameters.items() if spec.required]
    alone = len(required) == 1 and loaded.pipeline.parameters[required[0]].type == "secret"
    return required[0] if alone and loaded.path.endswith(SETUP) else ""


def setup_of(provider: str, pipelines: Sequence[LoadedPipeline]) -> LoadedPipeline:
    """Return the pipeline that connects a provider with a single key. Raises `InvalidInput`."""
    for each in pipelines:
        if _provider(each) == provider and key_of(each):
            return each
    raise InvalidInput(f"{provider[:60]!r} cannot be connected with a single key; look under Settings")


def _provider(loaded: LoadedPipeline) -> str:
    return loaded.path.removesuffix(SETUP)


def _first_pipeline(provider: str, pipelines: Sequence[LoadedPipeline]) -> str:
    """Return the pipeline of a provider that brings its costs; empty when it has none."""
    own = [each.path for each in pipelines if each.pipeline.provider == provider and not is_setup(each.path)]
    costs = [path for path in own if path.endswith("usage_cost")]
    return next(iter(costs or own), "")
