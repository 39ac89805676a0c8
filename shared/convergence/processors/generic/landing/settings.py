"""The key `destination.schema`: how a table gets its columns when no file describes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from convergence.ports.step.settings import NamedColumn
from convergence.processors.generic.target import Target
from convergence.processors.settings import Settings

COLUMNS_MAX: Final = 500  # of an inferred table; BigQuery allows 10,000


class SchemaSettings(Settings):
    """`raw`: each record is one JSON value. `infer`: each field becomes a column of the type that its values have.

    `contract` says what happens to a new field, or to a value of another type, once the table exists. `nested`: an
    object is a JSON value, or a record with fields of its own.
    """

    mode: Literal["raw", "infer"]
    contract: Literal["evolve", "freeze", "quarantine"] = "evolve"
    nested: Literal["json", "record"] = "json"
    columns_max: int = Field(default=COLUMNS_MAX, ge=1, le=5000)


class LandingTarget(Target):
    """A destination that needs no schema file. Without the file and without `schema` it is `raw`."""

    landing: SchemaSettings | None = Field(default=None, alias="schema")

    def names_columns(self) -> Sequence[NamedColumn]:
        """Return the columns that a schema file must have: none if the records bring their own."""
        return super().names_columns() if self.landing is None else ()

    @field_validator("landing", mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """`schema: infer` is short for `schema: {mode: infer}`."""
        return {"mode": value} if isinstance(value, str) and "{" not in value else value
