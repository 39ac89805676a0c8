"""Whose charges count where two sources report the same cost: `configs/system/precedence.yml`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from convergence.config.files.models import Precedence, PrecedenceRule, PrecedenceSource, Providers
from convergence.config.files.providers import load_providers
from convergence.config.files.shipped import own_or_shipped
from convergence.config.model.errors import problems_of
from convergence.config.yaml.positions import KeyPath
from convergence.config.yaml.source import read_yaml
from convergence.errors import ConfigErrors, did_you_mean

FILE: Final = "system/precedence.yml"
Problem = tuple[KeyPath, str]


def load_precedence(configs_dir: Path) -> Precedence:
    """Return what the file says.

    Raises `ConfigErrors` with its mistakes: also a provider or a service that the registry does not know, and a service
    that two rules have in one month.
    """
    source = read_yaml(own_or_shipped(configs_dir, FILE).read_bytes(), FILE)
    if source.problems:
        raise ConfigErrors(source.problems)
    try:
        found = Precedence.model_validate(source.data)
    except ValidationError as error:
        raise ConfigErrors(problems_of(error, source.data, source.positions)) from error
    # A folder without this file may have a registry of its own, in which the providers of the shipped rules are not.
    own = (configs_dir / FILE).exists()
    problems = [*(_unknown(found, load_providers(configs_dir)) if own else ()), *_twice(found)]
    if problems:
        raise ConfigErrors([source.positions.problem(path, message) for path, message in problems])
    return found


def _sources(found: Precedence) -> Iterator[tuple[KeyPath, PrecedenceRule, PrecedenceSource]]:
    for number, rule in enumerate(found.precedence):
        for place, each in enumerate(rule.sources):
            yield ("precedence", number, "sources", place), rule, each


def _unknown(found: Precedence, registry: Providers) -> Iterator[Problem]:
    for path, rule, source in _sources(found):
        line = registry.providers.get(source.provider)
        if line is None:
            near = did_you_mean(source.provider, registry.providers)
            yield (*path, "provider"), f"the rule {rule.name}: no provider is called {source.provider!r}.{near}"
            continue
        known = {*line.services, *([line.focus.service] if line.focus else [])}
        for place, service in enumerate(source.services):
            if service not in known:
                yield (
                    (*path, "services", place),
                    f"the rule {rule.name}: the registry knows no service {service!r} of {source.provider}."
                    f"{did_you_mean(service, known)} Its names are `focus.service` and `services` of the provider",
                )


def _twice(found: Precedence) -> Iterator[Problem]:
    """Yield services that two rules, or two sources of one rule, have at the same time."""
    seen: list[tuple[PrecedenceRule, PrecedenceSource]] = []
    for path, rule, source in _sources(found):
        for other, earlier in seen:
            same = earlier.provider == source.provider and (
                not earlier.services or not source.services or not set(earlier.services).isdisjoint(source.services)
            )
            if same and rule.from_ <= other.to and other.from_ <= rule.to:
                rules = " and ".join(dict.fromkeys((other.name, rule.name)))
                yield path, f"a service of {source.provider} stands twice for the same months, in {rules}"
        seen.append((rule, source))
