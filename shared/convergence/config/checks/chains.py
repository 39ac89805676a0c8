"""Checks of `then`: targets that exist, parameters that they take, no loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from convergence.config.loader import LoadedPipeline
from convergence.config.model.pipeline import Then
from convergence.config.parameters.reading import has_template, missing, refusals
from convergence.config.yaml.positions import KeyPath
from convergence.errors import ConfigError, ConfigErrors, InvalidInput, NotFound

Get = Callable[[str], LoadedPipeline]  # by path or alias; raises as `Catalog.get`

PASSED_ON: Final = ("start_date", "end_date")  # from the run that ended to the one that follows


def check_chains(loaded: LoadedPipeline, get: Get) -> list[ConfigError]:
    """Return the mistakes of a pipeline's `then`; mistakes in a target's own file are left to that file's check."""
    return list(_problems(loaded, get))


def _problems(loaded: LoadedPipeline, get: Get) -> Iterator[ConfigError]:
    for outcome in Then.model_fields:
        for index, each in enumerate(getattr(loaded.pipeline.then, outcome)):
            at: KeyPath = ("then", outcome, index)
            try:
                target = get(each.pipeline)
            except (NotFound, InvalidInput) as error:
                yield loaded.positions.problem((*at, "pipeline"), str(error))
                continue
            except ConfigErrors:
                continue
            yield from _parameters(loaded, target, at, each.parameters)
            loop = _way_back(loaded.path, target, get)
            if loop:
                message = f"it would never end: {' → '.join((loaded.path, *loop))}"
                yield loaded.positions.problem((*at, "pipeline"), message)


def _parameters(
    loaded: LoadedPipeline, target: LoadedPipeline, at: KeyPath, given: Mapping[str, Any]
) -> Iterator[ConfigError]:
    values = {name: None if has_template(value) else value for name, value in given.items()}  # filled in the plan
    for name, reason in refusals(target.pipeline, target.prepared.names, values):
        yield loaded.positions.problem((*at, "parameters", name), f"{target.path}: {reason}")
    for name in missing(target.pipeline, {*given, *PASSED_ON}):
        secret = target.pipeline.parameters[name].type == "secret"
        cure = "store a credential for it instead" if secret else "give it here below `parameters`"
        message = f"{target.path} needs the parameter {name!r}, so its run would not start: {cure}"
        yield loaded.positions.problem((*at, "pipeline"), message)


def _way_back(goal: str, start: LoadedPipeline, get: Get) -> list[str]:
    """Return the paths from `start` to `goal`, an empty list when none leads there."""
    ways = [[start]]
    seen = {start.path}
    while ways:
        way = ways.pop()
        if way[-1].path == goal:
            return [each.path for each in way]
        then = way[-1].pipeline.then
        for each in (*then.on_success, *then.on_failure):
            try:
                following = get(each.pipeline)
            except (NotFound, InvalidInput, ConfigErrors):
                continue
            if following.path not in seen or following.path == goal:
                seen.add(following.path)
                ways.append([*way, following])
    return []
