"""Converts records as an API sends them to rows of a table."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import date
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from convergence.errors import StepFailed, did_you_mean
from convergence.ports.column_values import convert, day_of, type_name
from convergence.ports.http.json_text import write_json
from convergence.ports.http.reported_errors import names_error
from convergence.ports.warehouse import LINEAGE_COLUMNS, Row, TableSchema
from convergence.processors.generic.api.fields import count, holds, no_record, split
from convergence.processors.generic.api.paths import ABSENT, take
from convergence.processors.generic.api.settings import Transform

OTHER_FIELDS: Final = "other_fields"
ADVICE: Final = (
    "Set config.on_bad_row: quarantine to set such records aside, or map fields to columns (transform.field_mapping)."
)


class Shaped(NamedTuple):
    """A page's rows; `bad` are those for the quarantine table; `filtered` counts rows outside the run's days."""

    rows: list[Row]
    bad: list[Row]
    filtered: int


class Shaper:
    """Flattens, renames, adds, sorts out. Rows that do not need any of this pass unchanged."""

    def __init__(
        self,
        schema: TableSchema,
        transform: Transform,
        added: Mapping[str, Any],
        *,
        quarantine: Mapping[str, str] | None = None,
        days: Iterable[date] | None = None,
        date_field: str = "",
        unseen: Iterable[str] | None = None,
        dropped: Mapping[str, int] | None = None,
    ) -> None:
        """`quarantine` (columns of every row there) sorts bad rows out; `days` those of other dates.

        `date_field` names the column with the day that a row belongs to. `unseen` are the mapped paths that no record
        had in earlier slices, `dropped` counts the fields that were left out in them.
        """
        self._table = schema.name
        self._columns = {column.name: column for column in schema.columns if column.name not in LINEAGE_COLUMNS}
        self._transform = transform
        self._added = dict(added)
        self._quarantine = quarantine
        self._days = None if days is None else frozenset(days)
        self._date_field = date_field
        self.dropped = dict(dropped or {})
        self._keeps_others = OTHER_FIELDS in self._columns
        self._structs = {name: column for name, column in self._columns.items() if type_name(column) == "STRUCT"}
        self._expected = self._columns.keys() - added.keys() - {OTHER_FIELDS}
        named = (*self._columns, *transform.field_mapping)
        self._loses_errors = not self._keeps_others and not any(map(names_error, named))
        self.unseen = set(transform.field_mapping if unseen is None else unseen)
        plain = not (transform.flatten or transform.field_mapping or added or self._structs)
        self._passes = plain and quarantine is None and days is None
        for name in (*transform.field_mapping.values(), *added):
            if name not in self._columns:
                raise StepFailed(f"transform: {schema.name} has no column {name!r}.{did_you_mean(name, self._columns)}")

    def column_of(self, path: str) -> str:
        """Return the column that the record's field at `path` lands in. Raises `StepFailed` when there is none."""
        name = self._transform.field_mapping.get(path, path.replace(".", "_") if self._transform.flatten else path)
        if name not in self._columns:
            raise StepFailed(
                f"incremental.cursor_path: {path!r} must be kept in a column of {self._table}, so that the next run"
                f" can go on from it; there is no {name!r}"
            )
        return name

    def shape(self, records: Sequence[Any]) -> Shaped:
        """Return the rows of a page's records.

        Raises `StepFailed` for one that is not an object, and, unless bad rows go into quarantine, for an error object.
        """
        if self._passes and self._are_rows(records):
            return Shaped(list(records), [], 0)
        rows: list[Row] = []
        bad: list[Row] = []
        filtered = 0
        for record in records:
            if not isinstance(record, dict):
                raise no_object(record)
            row, others = split(self._columns, self._structs, self._transformed(record))
            reason = no_record(self._table, self._expected, row, others, dropped=self._loses_errors)
            if reason is not None:
                if self._quarantine is None:
                    raise StepFailed(f"a record cannot be loaded: {reason}. {ADVICE}")
                bad.append(put_aside(self._quarantine, record, reason))
                continue
            if others:
                row = self._with_others(row, others)
            if self._quarantine is not None and (reason := self._wrong(row)) is not None:
                bad.append(put_aside(self._quarantine, row, reason))
            elif is_outside(row, self._days, self._date_field):
                filtered += 1
            else:
                rows.append(row)
        return Shaped(rows, bad, filtered)

    def _are_rows(self, records: Sequence[Any]) -> bool:
        """Whether all records are objects that have columns for all of their fields, and a value in one."""
        return (
            set(map(type, records)) <= {dict}
            and set().union(*records) <= self._columns.keys()
            and all(any(map(holds, record.values())) for record in records)
        )

    def _transformed(self, record: dict[str, Any]) -> dict[str, Any]:
        return transformed(self._transform, self._added, record, self.unseen)

    def _with_others(self, row: dict[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
        """Keep fields without a column, count or refuse them."""
        if self._keeps_others:
            return {**row, OTHER_FIELDS: write_json(others)}
        if self._transform.unknown_fields == "stop":
            name = next(iter(others))
            raise StepFailed(
                f"{self._table} has no column for the field {name!r}.{did_you_mean(name, self._columns)} Map it"
                f" (transform.field_mapping), add a column, add a column {OTHER_FIELDS!r} (STRING) for all such fields,"
                " or set transform.unknown_fields: drop."
            )
        count(self.dropped, others)
        return row

    def _wrong(self, row: Row) -> str | None:
        """Return the reason the load would refuse the row; None when it would not."""
        for name, column in self._columns.items():
            value = row.get(name)
            try:
                convert(column, value)
            except ValueError:
                missing = value is None
                return f"{name} is missing" if missing else f"{name} is not a {column.type}: {str(value)[:100]!r}"
        if self._date_field and row.get(self._date_field) is None:
            return f"{self._date_field} is missing, so the row belongs to no day"
        return None


def put_aside(quarantine: Mapping[str, str], row: Row, reason: str) -> Row:
    """Return the row of the quarantine table for a record that cannot be loaded."""
    text = write_json(row)
    digest = blake2b(text.encode(), digest_size=16).hexdigest()
    return {**quarantine, "reason": reason, "row_digest": digest, "row_json": text}


def transformed(
    transform: Transform, added: Mapping[str, Any], record: dict[str, Any], unseen: set[str]
) -> dict[str, Any]:
    """Return a record renamed, flattened and with what is added; a mapped path that it has is taken off `unseen`."""
    row = record
    picked: dict[str, Any] = {}
    for path, column in transform.field_mapping.items():
        found, row = take(row, path)
        picked[column] = None if found is ABSENT else found
        if found is not ABSENT:
            unseen.discard(path)
    if transform.flatten:
        row = flatten(row)
    return {**row, **picked, **added} if picked or added else row


def no_object(record: Any) -> StepFailed:
    """Return the error for something among the records that has no fields."""
    return StepFailed(f"a record is a {type(record).__name__}, not an object; check config.data_path")


def is_outside(row: Row, days: Container[date] | None, date_field: str) -> bool:
    """Whether the row's day is not among `days`. A row without a day is left to the load, which refuses it."""
    if days is None:
        return False
    try:
        return day_of(row.get(date_field)) not in days
    except ValueError:
        return False


def flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {"a": {"b": 1}} as {"a_b": 1}. Raises `StepFailed` when two fields would get the same name."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        inner = flatten(value, f"{prefix}{name}_") if isinstance(value, dict) else {prefix + name: value}
        for key, one in inner.items():
            if key in flat:
                raise StepFailed(f"transform.flatten: two fields of a record become {key!r}; map one of them")
            flat[key] = one
    return flat
