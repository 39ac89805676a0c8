"""Random pipelines: any shape of graph, any mixture of well- and ill-behaved steps, as real YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any

import yaml

from convergence.config.loader import LoadedPipeline, parse_pipeline

SHAPES = 160
WIDTHS = (66, 100, 128, 129, 200, 300)  # of graphs that few worlds can afford
GIANTS = range(SHAPES, SHAPES + 3 * len(WIDTHS))
WIDE = ("join", "fan", "sinks")
EDITIONS = 3  # of each file: later ones have another text, and a step more
FILE = "notes.txt"  # a file beside the pipelines, another text in each edition
FORCE = "force"


@dataclass
class StepSpec:
    """What a simulated step does; written into its `config`."""

    step_id: str
    depends_on: list[str]
    config: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)


@lru_cache(maxsize=EDITIONS * (SHAPES + len(GIANTS)))
def pipeline(shape: int, edition: int = 0) -> LoadedPipeline:
    """Return the pipeline number `shape`, always the same in the same edition."""
    rng = Random(shape)
    hurried = rng.random() < 0.1
    steps = [_step(rng, number, [f"s{i}" for i in range(number)]) for number in range(rng.randint(1, 6))]
    if shape in GIANTS:
        width, kind = divmod(shape - SHAPES, len(WIDE))
        steps = [StepSpec("s0", [], {"rows": 1}), *_wide(WIDTHS[width], WIDE[kind], "s0")]
    elif hurried:
        late = {"max_attempts": 10, "backoff_seconds": 3600}
        steps.append(StepSpec("stalled", [], {"rows": 1, "stalled_epochs": rng.randint(1, 2)}, {"retry": late}))
    elif rng.random() < 0.1:
        steps.extend(_wide(rng.choice([33, 34, 40, 50, 64, 65]), rng.choice(WIDE), f"s{rng.randrange(len(steps))}"))
    elif rng.random() < 0.12:
        steps.extend(_crowd())
    steps.extend(StepSpec(f"new{number}", [], {"rows": 1}) for number in range(1, edition + 1))
    handlers = [
        {
            "step_id": f"h{i}",
            "ps_type": "generic.noop",
            "timeout_minutes": 300,
            "trigger": trigger,
            "config": {"rows": 0, "say": "{status}", "edition": edition},
        }
        for i, trigger in enumerate(rng.sample(["on_failure", "on_success", "on_completion"], rng.randint(0, 2)))
    ]
    text = yaml.safe_dump(
        {
            "pipeline_id": "{org_slug}-sim-{run_id}",
            "name": f"Shape {shape}",
            "provider": "sim",
            "domain": "chaos",
            "timeout_minutes": 90 if hurried else 600,
            "execution": {"run_once": rng.random() < 0.15, "force_param": FORCE},
            "parameters": {
                "api_key": {"type": "secret"},
                "label": {"type": "string", "default": "e0"},
                FORCE: {"type": "boolean", "default": False},
            },
            "steps": [
                {
                    "step_id": s.step_id,
                    "ps_type": "generic.noop",
                    "timeout_minutes": 300,
                    "depends_on": s.depends_on,
                    "config": {**s.config, "edition": edition},
                    **s.extra,
                }
                for s in steps
            ]
            + handlers,
        }
    )
    return parse_pipeline(text, f"sim/chaos/shape{shape}")


def shape_of(path: str) -> int:
    """Return the number of a pipeline."""
    return int(path.rpartition("shape")[2])


def _step(rng: Random, number: int, earlier: list[str]) -> StepSpec:
    depends_on = rng.sample(earlier, rng.randint(0, min(3, len(earlier)))) if rng.random() < 0.8 else []
    config: dict[str, Any] = {"rows": rng.randint(0, 4)}
    extra: dict[str, Any] = {}
    if rng.random() < 0.4:
        config["write"] = rng.choice(["append", "sql", "call", "mixed", "merge"])
    kinds = ["flaky", "slow", "slices", "fatal", "tolerated", "disabled", "when", "loud", "poison"]
    match rng.choice(["plain"] * 8 + kinds + ["many slices", "late", "creeping", "keyed", "file"]):
        case "flaky":
            config["failures"] = rng.randint(1, 3)
            extra["retry"] = {"max_attempts": 4, "backoff_seconds": rng.choice([1, 30, 200])}
        case "slow":
            config["seconds"] = rng.choice([20, 100, 350])
        case "slices":
            config["slices"] = rng.randint(2, 4)
        case "many slices":
            config["slices"] = rng.choice([5, 9, 20])
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
        case "late":  # longer than its timeout
            config |= {"late_epochs": rng.randint(1, 2), "late_s": 1000}
            extra["timeout_minutes"] = 5
        case "creeping":  # no slice of it, but all together
            config |= {"late_epochs": 1, "late_s": 100, "slices": 5}
            extra["timeout_minutes"] = 5
        case "keyed":
            config |= {"keyed": True, "slices": 3, "seconds": 100}
        case "file":
            config |= {"file": FILE, "write": rng.choice(["append", "sql", "call", "mixed"]), "pause_s": 60}
    return StepSpec(f"s{number}", depends_on, config, extra)


def _crowd() -> list[StepSpec]:
    """Return a step that kills its process, and healthy ones that are at work whenever it does."""
    poison = StepSpec("poison", [], {"rows": 1, "poison_epochs": 1, "lives_s": 45})
    return [poison, *(StepSpec(f"beside{i}", [], {"rows": 1, "seconds": 350}) for i in range(2))]


def _wide(width: int, kind: str, before: str) -> list[StepSpec]:
    """Return a fan that a join gathers, a fan of last steps, or last steps that wait for nothing."""
    names = [f"w{i}" for i in range(width)]
    wide = [StepSpec(name, [] if kind == "sinks" else [before], {"rows": 1}) for name in names]
    return [*wide, StepSpec("join", names, {"rows": 1})] if kind == "join" else wide
