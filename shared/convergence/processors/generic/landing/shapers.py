"""Converts records to rows of a table without a schema file; `api_rows.Shaper` does it for one that has a file."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from convergence.errors import StepFailed
from convergence.ports.column_values import convert
from convergence.ports.http.reported_errors import has_only_error, reported_error
from convergence.ports.warehouse import LINEAGE_COLUMNS, Row, TableSchema
from convergence.processors.generic.api.rows import ADVICE, Shaped, is_outside, no_object, put_aside, transformed
from convergence.processors.generic.api.settings import Transform
from convergence.processors.generic.landing.inferred import InferredTable, Placed
from convergence.processors.generic.landing.raw import raw_row


@dataclass(slots=True, kw_only=True)
class OpenShaper:
    """What both kinds have in common; `quarantine` (columns of every row there), `days` and `date_field` as in
    `api_rows.Shaper`. Rows without a value in any of `keys` would be one row: they are refused."""

    transform: Transform
    added: Mapping[str, Any]
    quarantine: Mapping[str, str] | None
    days: Container[date] | None
    date_field: str
    keys: Sequence[str]
    unseen: set[str]
    dropped: dict[str, int] = field(default_factory=dict)  # stays empty: no field is dropped

    async def shape(self, records: Sequence[Any]) -> Shaped:
        """Return what becomes of records.

        Raises `StepFailed` for one that is not an object, and, unless bad rows go into quarantine, for an error.
        """
        bad: list[Row] = []
        whole: list[dict[str, Any]] = []
        for record in records:
            if not isinstance(record, dict):
                raise no_object(record)
            if has_only_error(record):
                self._refuse(bad, record, f"it is an error: {reported_error(record)}")
            else:
                whole.append(transformed(self.transform, self.added, record, self.unseen))
        rows: list[Row] = []
        filtered = 0
        for record, placed in zip(whole, await self.place(whole), strict=True):
            if placed.row is None:
                self._refuse(bad, record, placed.reason)
            elif self.keys and all(placed.row.get(key) is None for key in self.keys):
                self._refuse(bad, record, f"it has no {' and no '.join(self.keys)}, the key that rows are merged by")
            elif self.quarantine is not None and self.date_field and placed.row.get(self.date_field) is None:
                self._refuse(bad, record, f"{self.date_field} is missing, so the row belongs to no day")
            elif is_outside(placed.row, self.days, self.date_field):
                filtered += 1
            else:
                rows.append(placed.row)
        return Shaped(rows, bad, filtered)

    async def place(self, records: Sequence[dict[str, Any]]) -> Sequence[Placed]:
        """Return the row of each record."""
        raise NotImplementedError

    def _refuse(self, bad: list[Row], record: Row, reason: str) -> None:
        if self.quarantine is None:
            raise StepFailed(f"a record cannot be loaded: {reason}. {ADVICE}")
        bad.append(put_aside(self.quarantine, record, reason))


@dataclass(slots=True, kw_only=True)
class RawShaper(OpenShaper):
    """Keeps records whole."""

    schema: TableSchema

    async def place(self, records: Sequence[dict[str, Any]]) -> Sequence[Placed]:
        """Return each record as JSON, beside its keys."""
        return [self._placed(raw_row(self.schema, record)) for record in records]

    def _placed(self, row: Row) -> Placed:
        for column in self.schema.columns if self.quarantine is not None else ():
            if column.name in LINEAGE_COLUMNS:
                continue
            try:
                convert(column, row.get(column.name))
            except ValueError:
                return Placed(None, f"{column.name} is not a {column.type}: {str(row.get(column.name))[:100]!r}")
        return Placed(row)


@dataclass(slots=True, kw_only=True)
class InferringShaper(OpenShaper):
    """Gives each field a column."""

    table: InferredTable

    async def place(self, records: Sequence[dict[str, Any]]) -> Sequence[Placed]:
        """Return the rows by column; columns are added on the way."""
        placed = await self.table.place(records)
        return [Placed(None, "it has no value in any field") if each.row == {} else each for each in placed]
