"""Loads records into a step's table, whatever describes the table; shared by all extractors.

landing = await open_landing(target, transform, context, dates=dates)
shaped = await landing.shape(records)          # of `landing.sample` records at least, but for the last ones
await landing.stages[0].write(part, shaped.rows)
loaded = await landing.load(dates=dates)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final

from convergence.config.sql.values import bind
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.step.warehouse import StepStage
from convergence.ports.warehouse import Column, LoadResult, TableSchema, WriteMode
from convergence.processors.generic.api.rows import Shaped, Shaper
from convergence.processors.generic.api.settings import Transform
from convergence.processors.generic.landing.inferred import InferredTable, PlacedColumns
from convergence.processors.generic.landing.raw import RECORD, raw_schema
from convergence.processors.generic.landing.settings import LandingTarget
from convergence.processors.generic.landing.shapers import InferringShaper, RawShaper

QUARANTINE: Final = "org_meta_quarantine_rows"
SAMPLE_ROWS: Final = 1000  # that decide a new column's type, if there are so many
_CHANGES_MAX: Final = 100  # that a result names
_SQL: Final = re.compile(r"'.*'|[A-Za-z_][A-Za-z0-9_.]*\(.*\)", re.DOTALL)  # a quoted literal, a call


class Landing:
    """The table of one execution of a step, and the quarantine beside it. `stages` are theirs, once there are rows."""

    def __init__(
        self,
        target: LandingTarget,
        context: Context,
        shaper: Shaper | RawShaper | InferringShaper,
        schema: TableSchema,
        transform: Transform,
        *,
        table: InferredTable | None = None,
        quarantines: bool,
    ) -> None:
        self._target, self._context, self._shaper, self._table = target, context, shaper, table
        self._schema = schema
        self._renamed = transform.field_mapping
        self.sample = 0 if table is None else SAMPLE_ROWS
        self.stages: list[StepStage] = [context.warehouse.stage(schema)]
        if quarantines:
            self.stages.append(context.warehouse.stage(QUARANTINE))

    @property
    def unseen(self) -> set[str]:
        """Mapped paths that no record had so far."""
        return self._shaper.unseen

    @property
    def dropped(self) -> dict[str, int]:
        """Fields without a column, and in how many records; of tables with a schema file only."""
        return self._shaper.dropped

    async def shape(self, records: Sequence[Any]) -> Shaped:
        """Return the rows of records. Rows that were shaped before still fit the stage."""
        if isinstance(self._shaper, Shaper):
            return self._shaper.shape(records)
        shaped = await self._shaper.shape(records)
        await self._follow()
        return shaped

    async def place_columns(self, columns: Sequence[Column]) -> PlacedColumns:
        """Return the column for each field of a file that has types, renamed or not, by the field's name in the file.

        Raises `StepFailed` for a field that the contract does not allow.
        """
        assert self._table is not None, "the columns come from the data"
        fields = {self._renamed.get(column.name, column.name): column for column in columns}
        self._shaper.unseen.difference_update(column.name for column in columns)
        placed = await self._table.place_columns([replace(column, name=name) for name, column in fields.items()])
        await self._follow()
        by_file = ({fields[name].name: each for name, each in part.items()} for part in placed)
        return PlacedColumns(*by_file)

    async def _follow(self) -> None:
        """Go on in a stage of the table as it is now. Rows that were staged before still fit."""
        if self._table is not None and self._table.schema != self._schema:
            await self.stages[0].flush()
            self._schema = self._table.schema
            self.stages[0] = self._context.warehouse.stage(self._schema)

    def type_of(self, field: str) -> str | None:
        """Return the type of the column that holds a field of the records; None where there is no column yet, or the
        columns do not come from the data."""
        return None if self._table is None else self._table.type_of(self._renamed.get(field, field))

    async def cursor_column(self, path: str) -> str | None:
        """Return the column of the loaded rows that holds the field at `path`; None before there is one."""
        if self._table is not None:
            return self._table.column_of(path)
        if not isinstance(self._shaper, Shaper):
            raise StepFailed(
                f"incremental.cursor_path: a raw table keeps {path!r} in {RECORD} only, which gives no cursor. Write"
                " a schema file, or set destination.schema: {mode: infer}."
            )
        column = self._shaper.column_of(path)
        await self._context.warehouse.ensure_table(self._schema)
        return column

    async def load(self, *, dates: Sequence[date] | None, staged: int) -> LoadResult:
        """Make the rows visible. `staged` is their number, slices before included."""
        target = self._target
        for name in filter(None, (*target.key_fields, target.date_field)):
            if self._table is None or self._table.has(name):
                continue
            if staged:
                raise StepFailed(f"destination: no record has a field for the column {name!r} of {target.table}")
            await self._context.warehouse.ensure_table(self._schema)  # for its readers, although it has no rows yet
            return LoadResult(0, 0)
        return await self._context.warehouse.load(
            self.stages[0],
            dates=dates,
            date_field=target.date_field or None,
            mode=target.mode,
            key_fields=target.key_fields,
        )

    async def load_quarantine(self) -> None:
        """Make the rows visible that were set aside."""
        keys = ("table_name", "step_id", "row_digest")
        await self._context.warehouse.load(self.stages[1], dates=None, mode=WriteMode.MERGE, key_fields=keys)

    def changes(self) -> list[str]:
        """Return what this run has changed of the table's schema, in words; at most so many and a number."""
        changes = [] if self._table is None else self._table.changes()
        further = len(changes) - _CHANGES_MAX
        return [*changes[:_CHANGES_MAX], f"{further} further columns"] if further > 0 else changes


async def open_landing(
    target: LandingTarget,
    transform: Transform,
    context: Context,
    *,
    dates: Sequence[date] | None,
    filters: bool = False,
    quarantines: bool = False,
    unseen: Iterable[str] | None = None,
    dropped: Mapping[str, int] | None = None,
) -> Landing:
    """Return the landing of a step that replaces `dates` (None: rows are merged or added whatever their day).

    `filters` leaves rows of other days out, `quarantines` sets those aside that do not fit; `unseen` and `dropped` are
    those of earlier slices.

    Raises `StepFailed` for a transformation that names no column, or a `schema` that contradicts the table's file.
    """
    options = target.landing
    aside = quarantines or (options is not None and options.mode == "infer" and options.contract == "quarantine")
    quarantine = {"table_name": target.table, "step_id": context.step_id} if aside else None
    added = await added_fields(transform, context)
    days = dates if filters and target.date_field else None
    date_field = target.date_field if dates is not None else ""
    file = context.warehouse.schema(target.table)
    if options is None and file is not None:
        shaper = Shaper(
            file,
            transform,
            added,
            quarantine=quarantine,
            days=days,
            date_field=date_field,
            unseen=unseen,
            dropped=dropped,
        )
        return Landing(target, context, shaper, file, transform, quarantines=aside)
    common: dict[str, Any] = {
        "transform": transform,
        "added": added,
        "quarantine": quarantine,
        "days": None if days is None else frozenset(days),
        "date_field": date_field,
        "keys": target.key_fields,
        "unseen": set(transform.field_mapping if unseen is None else unseen),
    }
    if options is None or options.mode == "raw":
        if file is not None:
            raise StepFailed(raw_with_file(target.table))
        schema = raw_schema(target)
        return Landing(target, context, RawShaper(schema=schema, **common), schema, transform, quarantines=aside)
    table = InferredTable(target.table, options, context)
    await table.open()
    shaping = InferringShaper(table=table, **common)
    return Landing(target, context, shaping, table.schema, transform, table=table, quarantines=aside)


def raw_with_file(table: str) -> str:
    """Return why records for a table with a schema file do not land raw."""
    return (
        f"destination.schema: {table} has a schema file, so its records do not land raw: remove `schema`, or the file"
    )


async def added_fields(transform: Transform, context: Context) -> dict[str, Any]:
    """Return the values of `add_fields`: SQL is evaluated once, its values travel as query parameters."""
    added: dict[str, Any] = {}
    for name, value in transform.add_fields.items():
        is_sql = isinstance(value, Mapping) or (isinstance(value, str) and _SQL.fullmatch(value) is not None)
        if not is_sql:
            added[name] = value
            continue
        sql, parameters = bind(value)
        (row,) = (await context.warehouse.query(f"SELECT {sql} AS value", parameters)).rows
        added[name] = row["value"]
    return added
