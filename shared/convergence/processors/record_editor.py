"""Code that editors of an org's own records share: set, remove, import, list.

Each record is a row; one that was removed stays, marked. A change that would leave contradictory records is not made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Generic, Literal

from pydantic import Field, field_validator

from convergence.domain.sql_names import bigquery_name
from convergence.errors import StepFailed, did_you_mean
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import LINEAGE_COLUMNS, Parameter, Row, WriteMode
from convergence.processors.records import R, record_of, records_of_csv
from convergence.processors.settings import Destination, Settings, settings

RECORDS_MAX: Final = 10_000
SHOWN_MAX: Final = 100

Key = tuple[Any, ...]


class EditSettings(Settings):
    """`action`, and what it works on: a `term`'s fields, a `csv`, or for `remove` the fields of its key."""

    action: Literal["set", "remove", "import", "list"] = "list"
    term: Mapping[str, Any] = Field(default_factory=dict)
    csv: str = ""
    replace: bool = False  # import: records that are not in the file are removed

    @field_validator("action", mode="before")
    @classmethod
    def _absent(cls, value: Any) -> Any:
        return value or "list"


class RecordEditor(ABC, Generic[R]):
    """Keeps records of one model in one table. `key`: the fields that name a record; the first one is always given.

    `name`: the name of the records in results and messages.
    """

    config_model = EditSettings
    destination_model = Destination
    fixed_table: str
    model: type[R]
    key: tuple[str, ...]
    name: str

    @abstractmethod
    def refuse_contradictions(self, records: Iterable[R]) -> None:
        """Raise `StepFailed` for records that contradict each other."""

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Edit, and return the records, at most 100 of them. Raises `StepFailed` for an edit that does not fit."""
        options = settings(EditSettings, step_config)
        known = await self.stored(context)
        changed, removed = self._edited(options, known)
        kept = {key: record for key, record in {**known, **changed}.items() if key not in removed}
        self.refuse_contradictions(kept.values())
        rows: list[Row] = [{**record.model_dump(), "removed": False} for record in changed.values()]
        rows += [{**known[key].model_dump(), "removed": True} for key in removed]
        if rows:
            stage = context.warehouse.stage(self.fixed_table)
            await stage.write(0, rows)
            await context.warehouse.load(stage, dates=None, mode=WriteMode.MERGE, key_fields=self.key)
        shown = [record.model_dump(mode="json", exclude_none=True) for _, record in sorted(kept.items())[:SHOWN_MAX]]
        result = {"status": SUCCESS, "rows_processed": len(rows), "rows_written": len(rows), "table": self.fixed_table}
        return {**result, "terms": len(kept), self.name: shown}

    async def stored(self, context: Context) -> dict[Key, R]:
        """Return the org's records by key, whichever pipeline stored them."""
        await context.warehouse.ensure_table(self.fixed_table)
        keys = ", ".join(bigquery_name(name) for name in self.key)
        latest = f"ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY x_ingested_at DESC, x_run_id) = 1"
        table = bigquery_name(self.fixed_table)
        sql = f"SELECT * FROM {table} WHERE x_org_slug = @org QUALIFY {latest} ORDER BY {keys}"  # noqa: S608 - our own names
        parameters = {"org": Parameter("STRING", context.org_slug)}
        rows = (await context.warehouse.query(sql, parameters, rows_max=2 * RECORDS_MAX)).rows
        fields = [{name: value for name, value in row.items() if name not in LINEAGE_COLUMNS} for row in rows]
        kept = [{**row, "removed": None} for row in fields if not row["removed"]]
        records = [record_of(self.model, row, self.fixed_table) for row in kept]
        return {self._key(record): record for record in records}

    def _edited(self, options: EditSettings, known: Mapping[Key, R]) -> tuple[dict[Key, R], Sequence[Key]]:
        """Return the records to store, and the keys of those to remove."""
        if options.action == "set":
            record = record_of(self.model, options.term, "term")
            return {self._key(record): record}, ()
        if options.action == "import":
            if not options.csv.strip():
                raise StepFailed("config.csv: the CSV is empty")
            records = records_of_csv(self.model, options.csv, self.name)
            found = {self._key(record): record for record in records}
            if len(found) < len(records):
                raise StepFailed(f"{self.name}: two lines have the same {' and '.join(self.key)}")
            return found, [key for key in known if key not in found] if options.replace else ()
        if options.action == "remove":
            name, *others = (str(options.term.get(field) or "") for field in self.key)
            gone = [
                key
                for key in known
                if key[0] == name and all(other in {"", str(own)} for other, own in zip(others, key[1:], strict=True))
            ]
            if not gone:
                raise StepFailed(f"no term of {name!r}{did_you_mean(name, sorted({key[0] for key in known}))}")
            return {}, gone
        return {}, ()

    def _key(self, record: R) -> Key:
        return tuple(getattr(record, name) for name in self.key)
