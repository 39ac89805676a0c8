"""Rows on their way: one JSON file a part, below the staging folder, so that they survive a crash."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson

from convergence.adapters.local.warehouse_statements import checked
from convergence.errors import SchemaMismatch, nearest
from convergence.ports.warehouse import LINEAGE_COLUMNS, Row, TableSchema

_PART: Final = re.compile(r"part-(\d{9})-(\d+)\.json")


class NdjsonStage:
    """A folder of parts. File names carry part and number of rows; a part is replaced by renaming over it."""

    def __init__(self, folder: Path, dataset: str, table: TableSchema, name: str) -> None:
        self.table = table
        self.folder = folder / checked(dataset, "dataset") / checked(f"{table.name}__{name}", "stage")
        self._columns = frozenset(column.name for column in table.columns) - frozenset(LINEAGE_COLUMNS)
        self._known: dict[int, Path] | None = None  # part → file; read from the folder once

    async def write(self, part: int, rows: Sequence[Row]) -> None:
        """Store rows as part `part`; a part written again replaces its earlier self.

        Raises:
            SchemaMismatch: a row has a column that the table has not.
        """
        if not all(row.keys() <= self._columns for row in rows):
            raise self._unknown_column(part, rows)
        data = orjson.dumps(rows, default=_as_json, option=orjson.OPT_UTC_Z)
        known = self._parts()
        if not known:
            self.folder.mkdir(parents=True, exist_ok=True)
        stale = known.pop(part, None)
        if stale is not None:
            stale.unlink(missing_ok=True)
        if rows:
            unfinished = self.folder / f"writing-{part:09d}"
            unfinished.write_bytes(data)
            known[part] = unfinished.rename(self.folder / f"part-{part:09d}-{len(rows)}.json")

    async def discard(self, from_part: int = 0) -> None:
        """Drop the parts from `from_part` on."""
        if from_part == 0:
            self._known = None
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        known = self._parts()
        for part in [part for part in known if part >= from_part]:
            known.pop(part).unlink(missing_ok=True)

    def parts(self) -> list[Path]:
        """Return the files, in staging order."""
        return [path for _, path in sorted(self._parts().items())]

    def _parts(self) -> dict[int, Path]:
        if self._known is None:
            found = ((_PART.fullmatch(path.name), path) for path in self.folder.glob("part-*.json"))
            self._known = {int(match.group(1)): path for match, path in found if match}
        return self._known

    def _unknown_column(self, part: int, rows: Sequence[Row]) -> SchemaMismatch:
        before = sum(rows_in(path) for earlier, path in self._parts().items() if earlier < part)
        number, name = next(
            (number, name) for number, row in enumerate(rows, before + 1) for name in row if name not in self._columns
        )
        if name in LINEAGE_COLUMNS:
            advice = " The warehouse adds the lineage columns itself: leave them out."
        else:
            advice = nearest(name, self._columns)
        return SchemaMismatch(f"{self.table.name}: row {number} has a column {name!r} that the table has not.{advice}")


def rows_in(part: Path) -> int:
    """Return how many rows a part's file holds: its name says so."""
    return int(part.stem.rpartition("-")[2])


def _as_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, int):  # wider than 64 bits
        return str(value)
    if isinstance(value, bytes):
        from base64 import b64encode

        return b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "keys"):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no value of a row")
