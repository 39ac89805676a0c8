"""The typed form of a step's free part: each processor publishes a model of its `config` (`config_model`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from convergence.domain.model_errors import message_of
from convergence.errors import StepFailed


class Settings(BaseModel):
    """A section of a step; a key that is not declared is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CredentialSettings(Settings):
    """A section whose `secret` names the credential that the step opens: a provider, or a parameter of type secret."""

    secret: str

    def opens(self) -> Sequence[Sequence[str]]:
        """Return the name, as `UsesCredentials` requires."""
        return ((self.secret,),) if self.secret else ()


class Destination(Settings):
    """Where rows go: a table with a schema file of the same name.

    `dataset`, `dataset_type`, `schema_ref`, `schema_template` and `table_config` of older files add nothing to the
    org and the table's schema file; rows go to the org's dataset.
    """

    table: str
    dataset: str = ""
    dataset_type: str = ""
    schema_ref: str = ""
    schema_template: str = ""
    table_config: Mapping[str, Any] = Field(default_factory=dict)


def table_of(step_config: Mapping[str, Any], fixed: str = "") -> str:
    """Return `destination.table`, or without a destination the processor's fixed table. Raises `StepFailed`."""
    if fixed and not step_config.get("destination"):
        return fixed
    return settings(Destination, step_config, "destination").table


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return the keys that a section may have, as files write them."""
    return [field.alias or name for name, field in model.model_fields.items()]


S = TypeVar("S", bound=Settings)


def settings(model: type[S], step_config: Mapping[str, Any], section: str = "config") -> S:
    """Return `step_config[section]` as `model`. Raises `StepFailed` that names every wrong key."""
    try:
        return model.model_validate(step_config.get(section) or {})
    except ValidationError as error:
        wrong = "; ".join(
            ".".join([section, *map(str, problem["loc"])]) + f": {message_of(problem)}"
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        )
        raise StepFailed(f"{wrong}. Known keys: {', '.join(keys_of(model))}.") from None
