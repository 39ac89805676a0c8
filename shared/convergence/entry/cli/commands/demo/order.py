"""Which of the shipped pipelines can run here, and in which order: derived from their files, not from a list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from convergence.config.loader import LoadedPipeline

# The action in a step's name shows its distance from the source: storing keys comes before extracting, ...
RANKS: Final = {"store": 0, "extract": 1, "seed": 2, "transform": 2, "load": 2, "calculate": 2}
LAST: Final = 3


@dataclass(frozen=True, slots=True)
class Planned:
    """A pipeline and the parameters that lead it to the sandbox; `lacks` names required ones without a known value."""

    name: str
    loaded: LoadedPipeline
    parameters: Mapping[str, Any]
    lacks: tuple[str, ...]


def planned(name: str, loaded: LoadedPipeline, known: Mapping[str, Any], days: Mapping[str, str]) -> Planned:
    """Give a pipeline its share of the `known` parameters, and the days unless its default is today (a balance)."""
    declared = loaded.pipeline.parameters
    given = {parameter: value for parameter, value in known.items() if parameter in declared}
    lacks = tuple(
        parameter
        for parameter, spec in declared.items()
        if spec.required and spec.default is None and parameter not in given
    )
    dated = {} if loaded.pipeline.default_date_offset == 0 else dict(days)
    return Planned(name, loaded, {**given, **dated}, lacks)


def ordered(pipelines: Iterable[Planned]) -> list[Planned]:
    """Sort: sources first, and after any pipeline that a file names by its id; by name where nothing decides."""
    waiting = sorted(pipelines, key=lambda each: (_rank(each), each.name))
    ids = {each.name: each.loaded.pipeline.pipeline_id for each in waiting}
    found: list[Planned] = []
    while waiting:
        names = {each.name for each in waiting}
        free = (each for each in waiting if not (_named(each, ids) & (names - {each.name})))
        following = next(free, waiting[0])  # two that name each other: any order is as good
        waiting.remove(following)
        found.append(following)
    return found


def _rank(each: Planned) -> int:
    return min(RANKS.get(step.step_id.partition("_")[0], LAST) for step in each.loaded.pipeline.steps)


def _named(each: Planned, ids: Mapping[str, str]) -> set[str]:
    """The pipelines whose id is in the steps' configuration."""
    text = repr([step.config for step in each.loaded.pipeline.steps])
    return {name for name, pipeline_id in ids.items() if f"'{pipeline_id}'" in text}
