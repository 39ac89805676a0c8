"""Names of columns for fields, and the description that records which field a column holds.

A field keeps its name if a column can have it. Two fields that would share a column (`cost-usd` and `cost_usd`, `User`
and `user`) get one each: the second with a few digits of its name's digest. Which of them came first is known from the
descriptions, so a field keeps its column in every later run.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Container
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from convergence.ports.warehouse import LINEAGE_COLUMNS, Column

FIELD_NAME_MAX: Final = 200  # characters; the value of a field with a longer name goes into `other_fields`
OTHER_FIELDS: Final = "other_fields"
_COLUMN_NAME_MAX: Final = 200
_DESCRIPTION: Final = re.compile(
    r'From the field ("(?:[^"\\]|\\.)*")(?:, values of type ([A-Z0-9]+))?, since run (\S+)\.', re.DOTALL
)
# Prefixes that BigQuery reserves, and names that tables have already.
_RESERVED: Final = ("_table_", "_file_", "_partition", "_row_timestamp", "__root__", "_colidentifier", "_change_")
_KEPT: Final = frozenset({*LINEAGE_COLUMNS, OTHER_FIELDS, "x_part", "x_place", "x_number", "x_stage", "x_none"})


@dataclass(frozen=True, slots=True)
class Origin:
    """What a column holds: a field, of it only the values of one type (else empty), and the run that added it."""

    field: str
    kind: str = ""
    run_id: str = ""


def describe(origin: Origin) -> str:
    """Return the description of a column."""
    kind = f", values of type {origin.kind}" if origin.kind else ""
    return f"From the field {json.dumps(origin.field, ensure_ascii=False)}{kind}, since run {origin.run_id}."


def origin_of(column: Column) -> Origin:
    """Return what a stored column holds; without a description of ours it is the field of its name."""
    found = _DESCRIPTION.fullmatch(column.description)
    if found is None:
        return Origin(column.name)
    return Origin(json.loads(found[1]), found[2] or "", found[3])


def column_name(field: str, kind: str, taken: Container[str]) -> str:
    """Return a new column's name for a field, or for its values of one type; `taken` are names in lower case."""
    text = unicodedata.normalize("NFKD", field).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_]+", "_", text)
    if name != field or not name:
        name = name.strip("_") or "field"
    if name[0].isdigit() or name.lower().startswith(_RESERVED):
        name = "f_" + name.lstrip("_")
    name = name[:_COLUMN_NAME_MAX] + (f"__{kind.lower()}" if kind else "")
    if name.lower() in taken or name.lower() in _KEPT:
        name += "_" + blake2b(field.encode(), digest_size=3).hexdigest()
    return name
