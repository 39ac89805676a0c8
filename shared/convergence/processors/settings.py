"""A step's free part, typed: each processor publishes a model of its `config` (`config_model`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from convergence.errors import StepFailed


class Settings(BaseModel):
    """A section of a step; a key that is not declared is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Destination(Settings):
    """Where rows go: a table with a schema file of the same name."""

    table: str


S = TypeVar("S", bound=Settings)


def settings(model: type[S], step_config: Mapping[str, Any], section: str = "config") -> S:
    """Return `step_config[section]` as `model`. Raises `StepFailed` that names every wrong key."""
    try:
        return model.model_validate(step_config.get(section) or {})
    except ValidationError as error:
        wrong = "; ".join(
            ".".join([section, *map(str, problem["loc"])]) + f": {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        )
        raise StepFailed(f"{wrong}. Known keys: {', '.join(model.model_fields)}.") from None
