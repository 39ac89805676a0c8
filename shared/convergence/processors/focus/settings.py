"""Keys of `generic.focus_gate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from convergence.processors.focus.slices import Kind
from convergence.processors.settings import Settings

CANDIDATES: Final = "cost_data_candidate_1_3"
Policy = Literal["stop", "quarantine", "warn"]
Words = Annotated[str, Field(min_length=1, max_length=500)]


class Waiver(Settings):
    """A rule that a source is known to break: `reason`, the person responsible, and the last day of the waiver."""

    rule: Words
    reason: Words
    owner: Words
    expires: date


class GateSettings(Settings):
    """`source`: whose charges these are, the pipeline's provider by default. `kind`: those of usage, of seats, of SaaS
    subscriptions, of a bill that arrived as files, whose raw table is `bill_table`, or of a whole cloud account.

    `policy`: what a broken rule does, by its id; else a MUST stops and a SHOULD warns. `not_supported`: criteria of the
    specification that the source does not fulfil. `fields`: the source's own name of a column, for messages.
    """

    source: str = ""
    kind: Kind = "usage"
    bill_table: str = ""
    candidates: str = CANDIDATES
    not_supported: tuple[str, ...] = ()
    policy: Mapping[str, Policy] = Field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()
    fields: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _bill_has_a_table(self) -> Self:
        if (self.kind == "bill") != bool(self.bill_table):
            raise ValueError("bill_table is the raw table of a bill: kind: bill needs it, other kinds must not have it")
        return self

    def uses_tables(self) -> Sequence[str]:
        """Return the table of rows that are not visible yet."""
        return (self.candidates,)
