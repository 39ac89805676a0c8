"""Parameters of type secret: a run keeps them encrypted, apart from those that may be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from convergence.config.loader import LoadedPipeline
from convergence.engine.services import Services
from convergence.engine.step.secrets import parameter_aad

SEALED: Final = "(sealed)"  # stands for a secret that is stored already, so that it counts as given


def split_secrets(loaded: LoadedPipeline, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the parameters that may be stored, and those of type secret, which must not."""
    names = {name for name, spec in loaded.pipeline.parameters.items() if spec.type == "secret"}
    stored = {name: value for name, value in given.items() if name not in names}
    return stored, {name: str(value) for name, value in given.items() if name in names}


async def seal(services: Services, org: str, secrets: Mapping[str, str]) -> dict[str, str]:
    """Encrypt secret parameters for their org; steps open them on demand."""
    return {
        name: await services.keyring.encrypt(value.encode(), parameter_aad(org, name))
        for name, value in secrets.items()
    }
