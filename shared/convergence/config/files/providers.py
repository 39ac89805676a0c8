"""The registry of providers: `system/providers.yml`, and the `provider.yml` that a provider's folder may hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from convergence.config.files.models import Provider, ProviderLine, Providers
from convergence.config.files.older_providers import current
from convergence.config.files.shipped import shipped_configs
from convergence.config.model.errors import problems_of
from convergence.config.yaml.source import read_yaml
from convergence.errors import ConfigError, ConfigErrors, NotFound, did_you_mean

FILE = "system/providers.yml"
OWN_FILE = "provider.yml"

Model = TypeVar("Model", bound=BaseModel)


def load_providers(configs_dir: Path) -> Providers:
    """Return the merged registry. Without a file of its own the folder has the shipped one, beside its own providers.

    Raises:
        ConfigErrors: the mistakes of one file, or a provider or an alias that two files name.
    """
    has_own = (configs_dir / FILE).exists()
    registry = _read(configs_dir, FILE, Providers) if has_own else load_providers(shipped_configs())
    providers, aliases = dict(registry.providers), dict(registry.aliases)
    groups = {name: list(members) for name, members in registry.provider_groups.items()}
    hosts = [*registry.api_hosts]
    where: dict[str, str] = dict.fromkeys([*providers, *aliases], FILE) if has_own else {}
    for name, file in _own_files(configs_dir):
        own = _read(configs_dir, file, Provider)
        for word in (name, *own.aliases):
            if word in where:
                raise ConfigErrors([ConfigError(f"the provider {word!r} is also defined in {where[word]}", where=file)])
            where[word] = file
        providers[name] = own
        aliases.pop(name, None)  # a shipped one
        aliases.update(dict.fromkeys(own.aliases, name))
        for group in own.provider_groups:
            groups[group] = [*(each for each in groups.get(group, ()) if each != name), name]
        hosts += own.api_hosts
    merged: dict[str, Any] = {"providers": providers, "aliases": aliases, "provider_groups": groups, "api_hosts": hosts}
    return registry.model_copy(update=merged)


class ProviderRegistry:
    """The merged registry of a configs folder, read again when one of its files changes."""

    def __init__(self, configs_dir: Path) -> None:
        self._root = configs_dir
        self._read: tuple[list[tuple[str, int, int]], Providers] | None = None

    def get(self) -> Providers:
        """Return it. Raises what `load_providers` raises."""
        files = [FILE, *(file for _, file in _own_files(self._root))]
        stamps = [(file, stat.st_mtime_ns, stat.st_size) for file in files if (stat := _stat(self._root / file))]
        if self._read is None or self._read[0] != stamps:
            self._read = (stamps, load_providers(self._root))
        return self._read[1]


def provider_of(registry: Providers, name: str) -> ProviderLine | None:
    """Return a provider's line of the registry, by its name or alias; None for one that is not registered."""
    return registry.providers.get(registry.aliases.get(name, current(name)))


def endpoint_of(registry: Providers, name: str) -> str:
    """Return the address of a provider's API; empty where the registry leaves it to the vendor's client."""
    found = provider_of(registry, name)
    return found.api_base_url if found is not None else ""


def provider_name(registry: Providers, name: str) -> str:
    """Return a provider's name for its name or alias. Raises `NotFound` with the closest names."""
    found = registry.aliases.get(name, current(name))
    if found not in registry.providers:
        known = did_you_mean(name, [*registry.providers, *registry.aliases])
        raise NotFound(f"Unknown provider: {name[:100]}.{known}{declared(name)}")
    return found


def declared(name: str) -> str:
    """Return the sentence that says how a provider becomes known."""
    return f" To declare a new one: convergence new provider {name[:100]}."


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _own_files(configs_dir: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(configs_dir.glob(f"*/{OWN_FILE}")):
        yield path.parent.name, path.relative_to(configs_dir).as_posix()


def _read(configs_dir: Path, file: str, model: type[Model]) -> Model:
    source = read_yaml((configs_dir / file).read_bytes(), file)
    if source.problems:
        raise ConfigErrors(source.problems)
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        raise ConfigErrors(problems_of(error, source.data, source.positions)) from error
