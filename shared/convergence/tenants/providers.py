"""The registry of providers, from `configs/system/providers.yml`."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from convergence.config.files.models import Providers
from convergence.config.model.errors import problems_of
from convergence.config.yaml.source import read_yaml
from convergence.errors import ConfigErrors, NotFound, did_you_mean

FILE = "system/providers.yml"


def load_providers(configs_dir: Path) -> Providers:
    """Return the registry. Raises `ConfigErrors` with the file's mistakes."""
    source = read_yaml((configs_dir / FILE).read_bytes(), FILE)
    if source.problems:
        raise ConfigErrors(source.problems)
    try:
        return Providers.model_validate(source.data)
    except ValidationError as error:
        raise ConfigErrors(problems_of(error, source.data, source.positions)) from error


def provider_name(registry: Providers, name: str) -> str:
    """Return a provider's own name for its name or alias. Raises `NotFound` with the nearest."""
    found = registry.aliases.get(name, name)
    if found not in registry.providers:
        raise NotFound(f"Unknown provider: {name[:100]}.{did_you_mean(name, [*registry.providers, *registry.aliases])}")
    return found
