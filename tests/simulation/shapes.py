"""Pipelines by what they have in them, for tests that need a certain kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from tests.simulation.pipelines import GIANTS, SHAPES, WIDE, pipeline

Config = Mapping[str, Any]


def with_step(wanted: Callable[[Config], bool]) -> list[int]:
    """Return the pipelines with a step whose config is wanted."""
    return [shape for shape in range(SHAPES) if any(map(wanted, _configs(shape)))]


def without(*names: str) -> set[int]:
    """Return the pipelines of which no step's config has any of these names."""
    return {shape for shape in range(SHAPES) if not any(config.keys() & set(names) for config in _configs(shape))}


@lru_cache(maxsize=1)
def prompt_shapes() -> list[int]:
    """Return the pipelines without failures and waits: these need no reconciler while no message is lost."""
    return sorted(without("failures", "fatal_epochs", "poison_epochs", "late_epochs", "stalled_epochs"))


@lru_cache(maxsize=1)
def fatal_shapes() -> list[int]:
    """Return the pipelines that need a replay."""
    return with_step(lambda config: config.get("fatal_epochs", 99) < 9)


@lru_cache(maxsize=1)
def poison_shapes() -> list[int]:
    """Return the pipelines with a step that kills its process while healthy ones are at work beside it."""
    return [shape for shape in range(SHAPES) if "poison" in (step.step_id for step in pipeline(shape).pipeline.steps)]


@lru_cache(maxsize=1)
def slow_shapes() -> list[int]:
    """Return the pipelines with a healthy step that takes minutes, and none that kills its process or stalls."""
    slow = with_step(lambda config: config.get("seconds", 0) >= 100)
    return [shape for shape in slow if shape in without("poison_epochs", "stalled_epochs")]


@lru_cache(maxsize=1)
def adding_shapes() -> list[int]:
    """Return the pipelines with steps that go on in slices and would leave rows twice if a write were sent twice."""
    adding = with_step(lambda config: "slices" in config and config.get("write", "merge") != "merge")
    return [shape for shape in adding if shape in without("poison_epochs", "stalled_epochs")]


@lru_cache(maxsize=1)
def sliced_shapes() -> list[int]:
    """Return the pipelines with a step that stages rows in more than four slices."""
    return with_step(lambda config: config.get("slices", 0) > 4 and config["rows"] and "write" not in config)


def late_shapes() -> list[int]:
    """Return the pipelines with a step that takes longer than its timeout."""
    return with_step(lambda config: config.get("late_s", 0) >= 1000)


def creeping_shapes() -> list[int]:
    """Return the pipelines with a step whose slices take longer together than its timeout."""
    return with_step(lambda config: config.get("late_s", 0) == 100)


def stalled_shapes() -> list[int]:
    """Return the pipelines that do not end before their deadline."""
    return with_step(lambda config: "stalled_epochs" in config)


def keyed_shapes() -> list[int]:
    """Return the pipelines with a step that uses the org's stored key."""
    return with_step(lambda config: "keyed" in config)


def file_shapes() -> list[int]:
    """Return the pipelines with a step that writes what a file says."""
    return with_step(lambda config: "file" in config and config["rows"] > 1)


def once_shapes() -> list[int]:
    """Return the pipelines that run once."""
    return [shape for shape in range(SHAPES) if pipeline(shape).pipeline.execution.run_once]


def _configs(shape: int) -> list[Config]:
    return [step.config for step in pipeline(shape).pipeline.steps if step.trigger is None]


def wide_shapes() -> list[int]:
    """Return the narrowest of the wide pipelines: more than 64 steps that are the last, or that a fan begins."""
    return [GIANTS[WIDE.index("fan")], GIANTS[WIDE.index("sinks")]]
