"""Whose charges count where two sources report the same cost: `configs/system/precedence.yml`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from convergence.config.files.models import Precedence, PrecedenceRule, PrecedenceSource, Providers
from convergence.config.files.providers import load_providers
from convergence.config.files.service_names import overlap
from convergence.config.files.shipped import own_or_shipped
from convergence.config.model.errors import problems_of
from convergence.config.yaml.positions import KeyPath
from convergence.config.yaml.source import read_yaml
from convergence.errors import ConfigErrors, did_you_mean

FILE: Final = "system/precedence.yml"
Problem = tuple[KeyPath, str]
_Charges = tuple[str, str]  # provider and service


def load_precedence(configs_dir: Path) -> Precedence:
    """Return the rules of the file.

    Raises `ConfigErrors` with its mistakes: also a provider or a service that the registry does not know, and rules
    that contradict each other in a month.
    """
    source = read_yaml(own_or_shipped(configs_dir, FILE).read_bytes(), FILE)
    if source.problems:
        raise ConfigErrors(source.problems)
    try:
        found = Precedence.model_validate(source.data)
    except ValidationError as error:
        raise ConfigErrors(problems_of(error, source.data, source.positions)) from error
    # A folder without this file may have its own registry, which lacks the providers of the shipped rules.
    own = (configs_dir / FILE).exists()
    problems = [*(_unknown(found, load_providers(configs_dir)) if own else ()), *_contradictions(found)]
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
            if not any(overlap(service, name) for name in known):
                yield (
                    (*path, "services", place),
                    f"the rule {rule.name}: the registry has no service {service!r} of {source.provider}."
                    f"{did_you_mean(service, known)} Its names are `focus.service` and `services` of the provider",
                )


def _contradictions(found: Precedence) -> Iterator[Problem]:
    """Yield rules that together put services in a contradictory order: none of these would count.

    Rules that hold in the same month all hold in the first month of the rule that begins last.
    """
    named: dict[str, set[str]] = {}
    for _, _, source in _sources(found):
        named.setdefault(source.provider, {""}).update(source.services)
    reported = set[KeyPath]()
    for month in sorted({rule.from_ for rule in found.precedence}):
        order: dict[tuple[_Charges, _Charges], tuple[KeyPath, str]] = {}
        for number, rule in enumerate(found.precedence):
            if rule.from_ <= month <= rule.to:
                order |= {
                    pair: (("precedence", number, "sources", place), rule.name) for pair, place in _pairs(rule, named)
                }
        graph = TopologicalSorter[_Charges]()
        for before, after in order:
            graph.add(after, before)
        try:
            graph.prepare()
        except CycleError as error:
            circle: list[_Charges] = error.args[1]
            steps = [order[pair] for pair in pairwise(circle)]
            path = max(place for place, _ in steps)
            if path not in reported:
                reported.add(path)
                rules = " and ".join(dict.fromkeys(name for _, name in sorted(steps)))
                yield (
                    path,
                    (
                        f"a service of {circle[0][0]} would come before itself, by {rules}: say in one place which"
                        " source counts"
                    ),
                )


def _pairs(rule: PrecedenceRule, named: Mapping[str, set[str]]) -> Iterator[tuple[tuple[_Charges, _Charges], int]]:
    """Yield which charges come before which, and the place of the later source.

    Without services, all services to which two sources give the same name are compared. A service matches all names of
    overlapping services in other rules.
    """

    def named_as(source: PrecedenceSource) -> list[str]:
        return [name for name in named[source.provider] if any(overlap(name, each) for each in source.services)]

    for (_, before), (place, after) in combinations(enumerate(rule.sources), 2):
        if before.services:
            for pair in product(named_as(before), named_as(after)):
                yield ((before.provider, pair[0]), (after.provider, pair[1])), place
        else:
            for service in named[before.provider] | named[after.provider]:
                yield ((before.provider, service), (after.provider, service)), place
