"""A table whose columns come from its data.

The table in the warehouse is the only record of its schema: the description of a column names the field it holds and
the run that added it. So slices, retries and concurrent runs read one source of truth, and columns are only ever added.
New columns are created before the rows that need them are staged; a run whose column was just created with another type
by a second run reads the table again and finds it taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from convergence.config.files.schemas.fields import with_lineage
from convergence.errors import SchemaMismatch, StepFailed
from convergence.ports.column_values import type_name
from convergence.ports.http.json_text import write_json
from convergence.ports.processor import Context
from convergence.ports.warehouse import LINEAGE_COLUMNS, Column, Row, TableSchema
from convergence.processors.generic.landing.kinds import (
    JSON,
    LIST,
    NUMBER,
    OBJECT,
    checker,
    column_for,
    holds,
    kind_of,
    without_nulls,
)
from convergence.processors.generic.landing.names import (
    FIELD_NAME_MAX,
    OTHER_FIELDS,
    Origin,
    column_name,
    describe,
    origin_of,
)
from convergence.processors.generic.landing.settings import SchemaSettings

_ROUNDS: Final = 6  # of reading again, when others change the table at the same time
Key = tuple[str, str]  # field, and the type of its values ('' for the column of the field itself)


class Placed(NamedTuple):
    """A row by column, or None with the reason that it does not fit the table."""

    row: Row | None
    reason: str = ""


class PlacedColumns(NamedTuple):
    """The column of each field of a file, by the field's name; fields without one, with what is wrong with a row that
    has a value there."""

    columns: dict[str, str]
    homeless: dict[str, str]


class InferredTable:
    """One table, as far as one execution of a step sees and extends it."""

    def __init__(self, name: str, options: SchemaSettings, context: Context) -> None:
        self._name, self._options, self._context = name, options, context
        self._columns: dict[str, Column] = {}  # own ones, by name, in the table's order
        self._homes: dict[Key, str] = {}
        self._checks: dict[str, Callable[[Any], bool]] = {}
        self._file: TableSchema | None = None

    async def open(self) -> None:
        """Read the table's columns; a schema file of its name gives the first ones."""
        self._file = self._context.warehouse.schema(self._name)
        if self._file is not None:
            await self._context.warehouse.ensure_table(self._file)
        await self._look()

    @property
    def schema(self) -> TableSchema:
        """The table as it is now."""
        base = self._file or TableSchema(self._name, ())
        return replace(base, columns=with_lineage(tuple(self._columns.values())), inferred=True)

    @property
    def exists(self) -> bool:
        """Whether the table has any columns yet."""
        return bool(self._columns)

    def has(self, column: str) -> bool:
        """Whether the table has a column of this name."""
        return column in self._columns

    def column_of(self, field: str) -> str | None:
        """Return the column that holds a field; None when there is none yet."""
        return self._homes.get((field, ""))

    def type_of(self, field: str) -> str | None:
        """Return the type of the column that holds a field; None when there is none yet."""
        column = self._homes.get((field, ""))
        return None if column is None else type_name(self._columns[column])

    def changes(self) -> list[str]:
        """Describe what this run has added: the table shows it, whichever execution added it."""
        added = [column for column in self._columns.values() if origin_of(column).run_id == self._context.run_id]
        return [_in_words(column) for column in added]

    async def place(self, rows: Sequence[Row]) -> list[Placed]:
        """Return each row by columns, which are added where the contract allows it.

        Raises `StepFailed` for values that a frozen table has no column for.
        """
        for _ in range(_ROUNDS):
            placed, homeless = self._try(rows)
            if not homeless:
                return placed
            if not self._is_open:
                return self._refused(placed)
            await self._add(homeless)
        raise StepFailed(f"{self._name}: other runs are changing this table's columns at the same time; run it again")

    async def place_columns(self, given: Sequence[Column]) -> PlacedColumns:
        """Return the column for each field of a file that has types, by the field's name; see `place`.

        Raises `StepFailed` for a field that the contract does not allow, unless it sets rows aside, and there are other
        fields.
        """
        fields = [self._as_stored(column) for column in given]
        for _ in range(_ROUNDS):
            homes = {field.name: self._home_of(field) for field in fields}
            missing = {key: field for field in fields for key, home in (homes[field.name],) if home is None}
            placed = {name: home for name, (_, home) in homes.items() if home is not None}
            if not missing:
                return PlacedColumns(placed, {})
            if placed and not self._is_open and self._options.contract == "quarantine":
                return PlacedColumns(placed, {name: self._homeless(name, kind) for name, kind in missing})
            if not self._is_open or len(self._columns) + len(missing) > self._options.columns_max:
                raise StepFailed(self._no_place(*next(iter(missing.items()))))
            columns = dict(self._columns)
            for (name, kind), field in missing.items():
                own = column_name(name, kind, {each.lower() for each in columns})
                columns[own] = self._described(replace(field, name=own), Origin(name, kind))
            await self._widen(columns)
        raise StepFailed(f"{self._name}: other runs change this table's columns at the same time; run it again")

    def _as_stored(self, column: Column) -> Column:
        """Return a field of a file as a table has it: a list is JSON, an object too unless it is a record."""
        is_record = type_name(column) == "STRUCT" and column.mode != "REPEATED"
        if is_record and self._options.nested == "record" and _is_plain_record(column):
            return replace(column, mode="NULLABLE")
        nested = is_record or column.mode == "REPEATED"
        return Column(column.name, JSON if nested else type_name(column))

    def _home_of(self, field: Column) -> tuple[Key, str | None]:
        own = self._homes.get((field.name, ""))
        if own is None or holds(self._columns[own], field):
            return (field.name, ""), own
        key = (field.name, type_name(field))
        return key, self._homes.get(key)

    def _homeless(self, name: str, kind: str) -> str:
        own = self._columns.get(self._homes.get((name, ""), ""))
        return f"is not one of {self._name}" if own is None else f"is {kind}, and {own.type} in {self._name}"

    def _no_place(self, key: Key, field: Column) -> str:
        if self._is_open:
            most = self._options.columns_max
            return f"{self._name} would have more than {most} columns (destination.schema.columns_max)"
        own = self._columns.get(self._homes.get((field.name, ""), ""))
        what = (
            f"{self._name} has no column for the field {field.name[:100]!r}"
            if own is None
            else f"the field {field.name!r} is {own.type} in {self._name}, not {key[1]}"
        )
        return (
            f"{what}. The contract of destination.schema is {self._options.contract}, and the field is in every row"
            " of the file, so nothing was loaded: set evolve to add a column."
        )

    @property
    def _is_open(self) -> bool:
        """Whether columns may be added: always with `evolve`, otherwise only by the run that creates the table."""
        origins = map(origin_of, self._columns.values())
        return self._options.contract == "evolve" or all(each.run_id == self._context.run_id for each in origins)

    def _try(self, rows: Sequence[Row]) -> tuple[list[Placed], dict[Key, list[Any]]]:
        """Return the rows as far as there are columns for them, and the values without one."""
        homeless: dict[Key, list[Any]] = {}
        placed: list[Placed] = []
        is_open = self._is_open
        is_full = is_open and len(self._columns) >= self._options.columns_max
        for row in rows:
            found: dict[str, Any] = {}
            others: dict[str, Any] = {}
            reason = ""
            for field, value in row.items():
                if value is None:
                    continue
                key, column = self._home(field, value)
                if column is not None:
                    found[column] = without_nulls(value) if self._columns[column].fields else value
                elif is_full or (is_open and len(field) > FIELD_NAME_MAX):
                    others[field] = value
                else:
                    homeless.setdefault(key, []).append(value)
                    reason = reason or self._reason(key, value)
            if others:
                if OTHER_FIELDS in self._columns:
                    found[OTHER_FIELDS] = self._kept(others)
                else:
                    homeless.setdefault((OTHER_FIELDS, JSON), []).append(others)
            placed.append(Placed(None, reason) if reason else Placed(found))
        return placed, homeless

    def _home(self, field: str, value: Any) -> tuple[Key, str | None]:
        """Return the column that holds a value of a field, and the type of a column that could."""
        own = self._homes.get((field, ""))
        if own is None:
            return (field, ""), None
        if self._checks[own](value):
            return (field, ""), own
        key = (field, _single_kind(value))
        return key, self._homes.get(key)

    def _reason(self, key: Key, value: Any) -> str:
        field, kind = key
        if not kind:
            return f"{self._name} has no column for the field {field[:100]!r}"
        own = self._columns[self._homes[field, ""]]
        return f"the field {field!r} is {own.type} in {self._name}, not {kind}: {str(value)[:100]!r}"

    def _refused(self, placed: list[Placed]) -> list[Placed]:
        if self._options.contract == "freeze":
            reason = next(each.reason for each in placed if each.row is None)
            raise StepFailed(
                f"{reason}. The contract of destination.schema is freeze, so nothing was loaded: set evolve to add a"
                " column, or quarantine to set such records aside."
            )
        return placed

    async def _add(self, homeless: Mapping[Key, list[Any]]) -> None:
        columns = dict(self._columns)
        for (field, kind), values in homeless.items():
            if field == OTHER_FIELDS and kind == JSON:
                columns[OTHER_FIELDS] = self._described(Column(OTHER_FIELDS, JSON), Origin(OTHER_FIELDS))
            elif len(columns) < self._options.columns_max:
                name = column_name(field, kind, {each.lower() for each in columns})
                records = self._options.nested == "record" and not kind
                columns[name] = self._described(column_for(name, values, records=records), Origin(field, kind))
        await self._widen(columns)

    async def _widen(self, columns: Mapping[str, Column]) -> None:
        """Add the columns that the table does not have, and look at it again."""
        widened = replace(self.schema, columns=with_lineage(tuple(columns.values())))
        try:
            await self._context.warehouse.ensure_table(widened)
        except SchemaMismatch as error:
            self._context.logger.info("%s: another run was first: %s", self._name, error)
        else:
            added = ", ".join(_in_words(columns[name]) for name in columns.keys() - self._columns.keys())
            self._context.logger.info("%s: columns added: %.1000s", self._name, added)
        await self._look()

    def _described(self, column: Column, origin: Origin) -> Column:
        return replace(column, description=describe(replace(origin, run_id=self._context.run_id)))

    def _kept(self, others: Mapping[str, Any]) -> Any:
        """Return what a column `other_fields` of a schema file stores, which may be text."""
        return others if self._columns[OTHER_FIELDS].type.upper() == JSON else write_json(others)

    async def _look(self) -> None:
        stored = await self._context.warehouse.columns(self._name)
        self._columns = {column.name: column for column in stored if column.name not in LINEAGE_COLUMNS}
        self._checks = {name: checker(column) for name, column in self._columns.items()}
        origins = {name: origin_of(column) for name, column in self._columns.items() if name != OTHER_FIELDS}
        self._homes = {(origin.field, origin.kind): name for name, origin in origins.items()}


def _is_plain_record(column: Column) -> bool:
    """Whether a record can be one of a table: no list and no JSON in it, which a load does not read inside a record."""
    return all(
        field.mode != "REPEATED" and type_name(field) != JSON and _is_plain_record(field) for field in column.fields
    )


def _single_kind(value: Any) -> str:
    """Return the type of the column for a value whose type differs from that of its field's column."""
    kind = kind_of(value)
    return column_for("", [value]).type if kind in {NUMBER, OBJECT, LIST} else kind


def _in_words(column: Column) -> str:
    origin = origin_of(column)
    if origin.field == OTHER_FIELDS == column.name:
        return f"{column.name} {column.type} for the fields that have no column"
    if origin.kind:
        return f"{column.name} {column.type} for values of {origin.field!r} that are {origin.kind}"
    return f"{column.name} {column.type}" + ("" if origin.field == column.name else f" for {origin.field!r}")
