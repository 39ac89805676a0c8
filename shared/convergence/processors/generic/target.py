"""Where rows go: the keys of `destination` that generic processors share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from pydantic import field_validator, model_validator

from convergence.config.dialects.write_modes import current_mode
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.step.settings import NamedColumn
from convergence.ports.warehouse import WriteMode
from convergence.processors.base import days
from convergence.processors.settings import Destination


class Target(Destination):
    """`write_mode`: merge when there are `key_fields`, else overwrite: the run's days are replaced as a whole.
    `groups`: rows that share their `key_fields` are replaced together.

    `date_field` is the column with a row's data date.
    """

    key_fields: tuple[str, ...] = ()
    write_mode: WriteMode | None = None
    date_field: str = ""

    @field_validator("write_mode", mode="before")
    @classmethod
    def _spelling(cls, value: Any) -> Any:
        return current_mode(value.lower()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _modes(self) -> Target:
        keyed = self.mode in {WriteMode.MERGE, WriteMode.GROUPS}
        if keyed and not self.key_fields:
            raise ValueError(
                f"write_mode {self.mode} needs key_fields, the columns by which rows are found again: "
                "key_fields: [day, model]"
            )
        if self.key_fields and not keyed:
            raise ValueError(f"key_fields go with write_mode merge or groups; {self.mode} does not compare rows")
        return self

    def names_columns(self) -> Sequence[NamedColumn]:
        """Return the columns that it names, as `NamesColumns` requires."""
        keys = [NamedColumn(("key_fields", number), self.table, name) for number, name in enumerate(self.key_fields)]
        return [*keys, *([NamedColumn(("date_field",), self.table, self.date_field)] if self.date_field else [])]

    @property
    def mode(self) -> WriteMode:
        """What happens to existing rows."""
        return self.write_mode or (WriteMode.MERGE if self.key_fields else WriteMode.OVERWRITE)

    def slices(self, context: Context) -> list[date] | None:
        """Return the days that are replaced; None when rows are merged or added whatever their day.

        Raises `StepFailed` when a run of several days would have to guess the day of a row.
        """
        if self.date_field:
            return days(context.start_date, context.end_date)
        if self.mode is not WriteMode.OVERWRITE:
            return None
        if context.start_date != context.end_date:
            raise StepFailed(
                f"destination.table {self.table!r}: {context.start_date} to {context.end_date} are several days, so set"
                " destination.date_field, the column with a row's date; or run day by day"
            )
        return [context.start_date]
