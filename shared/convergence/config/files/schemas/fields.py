"""Fields of a schema file become columns, followed by the lineage columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from convergence.errors import ConfigError, did_you_mean
from convergence.ports.column_bounds import bounds_problem
from convergence.ports.column_values import ALIASES
from convergence.ports.warehouse import LINEAGE_COLUMNS, Column

TYPES: Final = frozenset(
    {
        "STRING",
        "BYTES",
        "INT64",
        "INTEGER",
        "FLOAT64",
        "FLOAT",
        "NUMERIC",
        "DECIMAL",
        "BIGNUMERIC",
        "BIGDECIMAL",
        "BOOL",
        "BOOLEAN",
        "TIMESTAMP",
        "DATE",
        "TIME",
        "DATETIME",
        "JSON",
        "RECORD",
        "STRUCT",
        "INTERVAL",
    }
)
MODES: Final = frozenset({"NULLABLE", "REQUIRED", "REPEATED"})
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")
_FIELD_KEYS: Final = frozenset(
    {
        "name",
        "type",
        "mode",
        "description",
        "fields",
        "maxLength",
        "precision",
        "scale",
        "policyTags",
        "defaultValueExpression",
        "collation",
    }
)
# BigQuery has such bounds. DuckDB has none, and a comment, where those of columns are kept, describes whole columns.
_INSIDE: Final = ": the embedded warehouse could not check it. Leave it out, or give the value a column of its own"
_LINEAGE: Final = {
    "x_org_slug": ("STRING", "Org (tenant) that owns the row."),
    "x_pipeline_id": ("STRING", "Pipeline that wrote the row."),
    "x_credential_id": ("STRING", "Credential that was used; empty when none was."),
    "x_pipeline_run_date": ("DATE", "Data date: the slice that a run replaces; tables are partitioned by it."),
    "x_run_id": ("STRING", "Run that wrote the row."),
    "x_ingested_at": ("TIMESTAMP", "When the row was written."),
    "x_ingestion_date": ("DATE", "Date of x_ingested_at in UTC."),
}


def with_lineage(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the columns, followed by the lineage columns that are not among them."""
    known = {column.name for column in columns}
    return columns + tuple(
        Column(name, kind, description=description)
        for name, (kind, description) in _LINEAGE.items()
        if name not in known
    )


def columns_of(fields: list[Any], *, where: str, path: str) -> tuple[Column, ...]:
    """Return the columns of a list of fields; `where` is the file, `path` the keys above the fields in it.

    Raises:
        ConfigError: not a field, an unknown key, type or mode, or a duplicate column.
    """
    columns: list[Column] = []
    for number, field in enumerate(fields):
        if not isinstance(field, dict):
            raise ConfigError("a field must be an object with name and type", where=where, path=f"{path}[{number}]")
        column = _column(field, where=where, path=f"{path}{field.get('name', f'[{number}]')}")
        if column.name.lower() in {other.name.lower() for other in columns}:
            raise ConfigError(f"the column {column.name!r} appears twice", where=where, path=path)
        columns.append(column)
    return tuple(columns)


def _column(field: Mapping[str, Any], *, where: str, path: str) -> Column:
    check_keys(field, _FIELD_KEYS, where=where, path=path)
    name, kind, mode = (
        field.get("name", ""),
        str(field.get("type", "")).upper(),
        str(field.get("mode", "NULLABLE")).upper(),
    )
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is not a column name: letters, digits and underscores", where=where, path=path)
    if kind not in TYPES:
        raise ConfigError(f"{kind!r} is not a column type.{did_you_mean(kind, TYPES)}", where=where, path=path)
    if mode not in MODES:
        raise ConfigError(f"{mode!r} is not a mode.{did_you_mean(mode, MODES)}", where=where, path=path)
    nested = field.get("fields", [])
    if (kind in {"RECORD", "STRUCT"}) != bool(nested):
        raise ConfigError("a RECORD must have fields, other types must not", where=where, path=path)
    if name in _LINEAGE and (kind != _LINEAGE[name][0] or mode == "REPEATED"):
        raise ConfigError(f"the lineage column {name!r} must be {_LINEAGE[name][0]}", where=where, path=path)
    fields = columns_of(nested, where=where, path=f"{path}.")
    if any(each.bounds for each in fields):
        raise ConfigError(f"a field of a RECORD takes no length or precision{_INSIDE}", where=where, path=path)
    bounds = _bounds(field, kind, mode, where=where, path=path)
    return Column(name, kind, mode, description=str(field.get("description", "")), fields=fields, bounds=bounds)


def _bounds(field: Mapping[str, Any], kind: str, mode: str, *, where: str, path: str) -> tuple[int, ...]:
    """Return `maxLength`, or `precision` and `scale`; BigQuery writes these numbers as text, too."""
    keys = [key for key in ("maxLength", "precision", "scale") if field.get(key) is not None]
    if not keys:
        return ()
    name = ALIASES.get(kind, kind)
    expected = ["maxLength"] if name in {"STRING", "BYTES"} else ["precision", "scale"]
    wrong = next((key for key in keys if key not in expected), None)
    if wrong is not None or keys[0] == "scale" or mode == "REPEATED":
        if wrong is None and mode != "REPEATED":
            raise ConfigError("scale needs a precision", where=where, path=path)
        what = f"a REPEATED {kind}" if mode == "REPEATED" else f"a {kind}"
        more = _INSIDE if wrong is None else ""
        raise ConfigError(f"{what} does not take {wrong or keys[0]}{more}", where=where, path=path)
    if any(not re.fullmatch("[0-9]{1,10}", str(field[key])) for key in keys):
        raise ConfigError(f"{', '.join(keys)}: whole numbers are needed", where=where, path=path)
    bounds = tuple(int(field[key]) for key in keys)
    if problem := bounds_problem(name, bounds):
        raise ConfigError(problem, where=where, path=path)
    return bounds


def check_keys(data: Mapping[str, Any], known: frozenset[str], *, where: str, path: str = "") -> None:
    """Raise `ConfigError` for a key that is not known, with the most similar one."""
    for key in data:
        if key not in known:
            raise ConfigError(f"unknown key {key!r}.{did_you_mean(key, known)}", where=where, path=path)


assert tuple(_LINEAGE) == LINEAGE_COLUMNS, "the port names the lineage columns"
