"""What the gate does about rules that a source is known to break: `configs/system/focus/sources.yml`.

The step's own `policy` and `waivers` take precedence.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError

from convergence.config.files.shipped import own_or_shipped
from convergence.config.model.errors import problems_of
from convergence.config.yaml.source import read_yaml
from convergence.errors import ConfigErrors
from convergence.processors.focus.settings import GateSettings, Policy, Waiver, Words
from convergence.processors.settings import Settings

FILE: Final = "system/focus/sources.yml"


class Group(Settings):
    """`policy` and `waivers` of some sources, in the form of the gate's own keys; `reason`: why these rules do not stop
    them."""

    sources: Annotated[tuple[Words, ...], Field(min_length=1)]
    reason: str = Field(default="", max_length=500)
    policy: Mapping[str, Policy] = Field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()


class Sources(Settings):
    """The file."""

    groups: tuple[Group, ...]


def load_sources(configs_dir: Path) -> Sources:
    """Return the file of the configs folder, or the product's own. Raises `ConfigErrors` with its mistakes."""
    source = read_yaml(own_or_shipped(configs_dir, FILE).read_bytes(), FILE)
    if source.problems:
        raise ConfigErrors(source.problems)
    try:
        return Sources.model_validate(source.data)
    except ValidationError as error:
        raise ConfigErrors(problems_of(error, source.data, source.positions)) from error


def of_source(options: GateSettings, configs_dir: Path, source: str) -> GateSettings:
    """Return a step's settings with what is known about its source."""
    groups = [group for group in load_sources(configs_dir).groups if source in group.sources]
    own = {*options.policy, *(waiver.rule for waiver in options.waivers)}
    known = {rule: policy for group in groups for rule, policy in group.policy.items() if rule not in own}
    waivers = [waiver for group in groups for waiver in group.waivers if waiver.rule not in own]
    return options.model_copy(
        update={"policy": {**known, **options.policy}, "waivers": (*options.waivers, *waivers)},
    )
