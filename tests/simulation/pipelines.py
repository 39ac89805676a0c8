"""Random pipelines: any shape of graph, any mixture of well- and ill-behaved steps, as real YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any

import yaml

from convergence.config.loader import LoadedPipeline, parse_pipeline

SHAPES = 120


@dataclass
class StepSpec:
    """What a simulated step does; written into its `config`."""

    step_id: str
    depends_on: list[str]
    config: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)


@lru_cache(maxsize=1)
def prompt_shapes() -> list[int]:
    """Return the pipelines without failures and waits: these need no reconciler while no message is lost."""
    return [
        shape
        for shape in range(SHAPES)
        if not any(
            step.config.keys() & {"failures", "fatal_epochs", "poison_epochs"}
            for step in pipeline(shape).pipeline.steps
        )
    ]


@lru_cache(maxsize=1)
def fatal_shapes() -> list[int]:
    """Return the pipelines that need a replay."""
    return [
        shape
        for shape in range(SHAPES)
        if any(step.config.get("fatal_epochs", 99) < 9 for step in pipeline(shape).pipeline.steps)
    ]


@lru_cache(maxsize=1)
def poison_shapes() -> list[int]:
    """Return the pipelines with a step that kills its process while healthy ones are at work beside it."""
    return [
        shape for shape in range(SHAPES) if any(step.step_id == "poison" for step in pipeline(shape).pipeline.steps)
    ]


@lru_cache(maxsize=1)
def slow_shapes() -> list[int]:
    """Return the pipelines with a healthy step that takes minutes, and none that kills its process."""
    return [
        shape
        for shape in range(SHAPES)
        if any(step.config.get("seconds", 0) >= 100 for step in pipeline(shape).pipeline.steps)
        and not any("poison_epochs" in step.config for step in pipeline(shape).pipeline.steps)
    ]


@lru_cache(maxsize=1)
def adding_shapes() -> list[int]:
    """Return the pipelines with steps that go on in slices and would leave rows twice if a write were sent twice."""
    return [
        shape
        for shape in range(SHAPES)
        if any(
            "slices" in step.config and step.config.get("write", "merge") != "merge"
            for step in pipeline(shape).pipeline.steps
        )
        and not any("poison_epochs" in step.config for step in pipeline(shape).pipeline.steps)
    ]


@lru_cache(maxsize=SHAPES)
def pipeline(shape: int) -> LoadedPipeline:
    """Return the pipeline number `shape`, always the same."""
    rng = Random(shape)
    steps = [_step(rng, number, [f"s{i}" for i in range(number)]) for number in range(rng.randint(1, 6))]
    if rng.random() < 0.1:
        steps.extend(_wide(rng, len(steps)))
    elif rng.random() < 0.12:
        steps.extend(_crowd())
    handlers = [
        {
            "step_id": f"h{i}",
            "ps_type": "generic.noop",
            "timeout_minutes": 300,
            "trigger": trigger,
            "config": {"rows": 0, "say": "{status}"},
        }
        for i, trigger in enumerate(rng.sample(["on_failure", "on_success", "on_completion"], rng.randint(0, 2)))
    ]
    text = yaml.safe_dump(
        {
            "pipeline_id": "{org_slug}-sim-{run_id}",
            "name": f"Shape {shape}",
            "provider": "sim",
            "domain": "chaos",
            "timeout_minutes": 600,
            "parameters": {
                "api_key": {"type": "secret", "required": True},
                "label": {"type": "string", "default": "e0"},
            },
            "steps": [
                {
                    "step_id": s.step_id,
                    "ps_type": "generic.noop",
                    "timeout_minutes": 300,
                    "depends_on": s.depends_on,
                    "config": s.config,
                    **s.extra,
                }
                for s in steps
            ]
            + handlers,
        }
    )
    return parse_pipeline(text, f"sim/chaos/shape{shape}")


def _step(rng: Random, number: int, earlier: list[str]) -> StepSpec:
    depends_on = rng.sample(earlier, rng.randint(0, min(3, len(earlier)))) if rng.random() < 0.8 else []
    config: dict[str, Any] = {"rows": rng.randint(0, 4)}
    extra: dict[str, Any] = {}
    match rng.choice(
        ["plain"] * 6 + ["flaky", "slow", "slices", "fatal", "tolerated", "disabled", "when", "loud", "poison"]
    ):
        case "flaky":
            config["failures"] = rng.randint(1, 3)
            extra["retry"] = {"max_attempts": 4, "backoff_seconds": rng.choice([1, 30, 200])}
        case "slow":
            config["seconds"] = rng.choice([20, 100, 350])
        case "slices":
            config["slices"] = rng.randint(2, 4)
        case "fatal":
            config["fatal_epochs"] = rng.randint(1, 2)
        case "tolerated":
            config["fatal_epochs"] = 99
            extra["on_failure"] = "continue"
        case "disabled":
            extra["enabled"] = False
        case "when" if depends_on:
            extra["when"] = f"results.{depends_on[0]}.rows_written > {rng.choice([0, 2])}"
        case "loud":
            config["loud"] = True
        case "poison":
            config["poison_epochs"] = 1
            config["lives_s"] = rng.choice([0, 10, 45])
    if rng.random() < 0.4:
        config["write"] = rng.choice(["append", "sql", "call", "mixed", "merge"])
    return StepSpec(f"s{number}", depends_on, config, extra)


def _crowd() -> list[StepSpec]:
    """Return a step that kills its process, and healthy ones that are at work whenever it does."""
    poison = StepSpec("poison", [], {"rows": 1, "poison_epochs": 1, "lives_s": 45})
    return [poison, *(StepSpec(f"beside{i}", [], {"rows": 1, "seconds": 350}) for i in range(2))]


def _wide(rng: Random, number: int) -> list[StepSpec]:
    """Return a fan that a join gathers, a fan of last steps, or last steps that wait for nothing."""
    names = [f"w{i}" for i in range(rng.choice([33, 34, 40, 50, 64, 65]))]
    shape = rng.choice(["join", "fan", "sinks"])
    root = [] if shape == "sinks" else [f"s{rng.randrange(number)}"]
    wide = [StepSpec(name, root, {"rows": 1}) for name in names]
    return [*wide, StepSpec("join", names, {"rows": 1})] if shape == "join" else wide
