"""BigQuery table schemas as files: JSON in, `TableSchema` out, lineage columns appended.

Two forms are read: BigQuery's plain list of fields, and an object with `description`, `partition_by` (or
`time_partitioning`), `cluster_by` (or `clustering`) and `fields`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from convergence.errors import ConfigError, NotFound, did_you_mean
from convergence.ports.warehouse import LINEAGE_COLUMNS, Column, TableSchema

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
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")
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
_TABLE_KEYS: Final = frozenset(
    {
        "$schema",
        "description",
        "fields",
        "schema",
        "partition_by",
        "time_partitioning",
        "timePartitioning",
        "cluster_by",
        "clustering",
        "labels",
    }
)
_LINEAGE: Final = {
    "x_org_slug": ("STRING", "Org (tenant) that owns the row."),
    "x_pipeline_id": ("STRING", "Pipeline that wrote the row."),
    "x_credential_id": ("STRING", "Credential that was used; empty when none was."),
    "x_pipeline_run_date": ("DATE", "Data date: the slice that a run replaces."),
    "x_run_id": ("STRING", "Run that wrote the row."),
    "x_ingested_at": ("TIMESTAMP", "When the row was written."),
    "x_ingestion_date": ("DATE", "Date of x_ingested_at in UTC; tables are partitioned by it."),
}


def load_table_schema(path: Path) -> TableSchema:
    """Read one schema file; the table is called like the file.

    Raises:
        ConfigError: no JSON, an unknown key, type or mode, or a column twice; `where` is `file:line` when known.
    """
    text = path.read_text(encoding="utf-8")
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"not valid JSON: {error.msg}", where=f"{path.name}:{error.lineno}:{error.colno}") from error
    options: Mapping[str, Any] = {}
    fields = data
    if isinstance(data, dict):
        options = data
        _check_keys(data, _TABLE_KEYS, where=path.name)
        fields = data.get("fields", data.get("schema"))
    if not isinstance(fields, list) or not fields:
        raise ConfigError("a list of fields is expected, or an object with `fields`", where=path.name)
    columns = _columns(fields, where=path.name, path="")
    known = {column.name for column in columns}
    lineage = tuple(
        Column(name, kind, description=description)
        for name, (kind, description) in _LINEAGE.items()
        if name not in known
    )
    return TableSchema(
        name=path.stem,
        columns=columns + lineage,
        description=options.get("description", ""),
        partition_by=_partition(options),
        cluster_by=_cluster(options),
    )


class TableSchemas:
    """All schema files below a configs folder, by name: `**/schemas/*.json` and `**/seed/*.json`. Read on demand."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._loaded: dict[str, TableSchema] = {}

    def get(self, name: str) -> TableSchema:
        """Return the schema of table `name`.

        Raises:
            NotFound: no file has this name; the message has the nearest.
            ConfigError: the file is wrong, or two files have this name.
        """
        if name not in self._loaded:
            path = self.paths.get(name)
            if path is None:
                raise NotFound(f"No schema file is called {name}.json.{did_you_mean(name, self.paths)}")
            self._loaded[name] = load_table_schema(path)
        return self._loaded[name]

    def check_names(self) -> None:
        """Raise `ConfigError` where two files describe one table."""
        _ = self.paths

    @cached_property
    def paths(self) -> Mapping[str, Path]:
        """Files by table name."""
        found: dict[str, Path] = {}
        for path in sorted(self._root.rglob("*.json")):
            if path.parent.name not in {"schemas", "seed"}:
                continue
            if path.stem in found:
                first, second = (str(each.relative_to(self._root)) for each in (found[path.stem], path))
                raise ConfigError(f"two files describe the table {path.stem!r}: the other is {first}", where=second)
            found[path.stem] = path
        return found


def _columns(fields: list[Any], *, where: str, path: str) -> tuple[Column, ...]:
    columns: list[Column] = []
    for number, field in enumerate(fields):
        if not isinstance(field, dict):
            raise ConfigError("a field is an object with name and type", where=where, path=f"{path}[{number}]")
        column = _column(field, where=where, path=f"{path}{field.get('name', f'[{number}]')}")
        if column.name.lower() in {other.name.lower() for other in columns}:
            raise ConfigError(f"the column {column.name!r} is there twice", where=where, path=path)
        columns.append(column)
    return tuple(columns)


def _column(field: Mapping[str, Any], *, where: str, path: str) -> Column:
    _check_keys(field, _FIELD_KEYS, where=where, path=path)
    name, kind, mode = (
        field.get("name", ""),
        str(field.get("type", "")).upper(),
        str(field.get("mode", "NULLABLE")).upper(),
    )
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is not a column name: letters, digits and underscores", where=where, path=path)
    if kind not in TYPES:
        raise ConfigError(f"{kind!r} is not a column type.{did_you_mean(kind, TYPES)}", where=where, path=path)
    if mode not in MODES:
        raise ConfigError(f"{mode!r} is not a mode.{did_you_mean(mode, MODES)}", where=where, path=path)
    nested = field.get("fields", [])
    if (kind in {"RECORD", "STRUCT"}) != bool(nested):
        raise ConfigError("a RECORD has fields, other types do not", where=where, path=path)
    if name in _LINEAGE and (kind != _LINEAGE[name][0] or mode == "REPEATED"):
        raise ConfigError(f"the lineage column {name!r} is {_LINEAGE[name][0]}", where=where, path=path)
    fields = _columns(nested, where=where, path=f"{path}.")
    return Column(name, kind, mode, description=str(field.get("description", "")), fields=fields)


def _check_keys(data: Mapping[str, Any], known: frozenset[str], *, where: str, path: str = "") -> None:
    for key in data:
        if key not in known:
            raise ConfigError(f"unknown key {key!r}.{did_you_mean(key, known)}", where=where, path=path)


def _partition(options: Mapping[str, Any]) -> str | None:
    given = options.get("time_partitioning", options.get("timePartitioning"))
    if isinstance(given, dict):
        return str(given.get("field", "x_ingestion_date"))
    partition: str | None = options.get("partition_by", "x_ingestion_date")
    return partition


def _cluster(options: Mapping[str, Any]) -> tuple[str, ...]:
    given = options.get("cluster_by", options.get("clustering", ()))
    if isinstance(given, dict):
        given = given.get("fields", ())
    return tuple([given] if isinstance(given, str) else given)


assert tuple(_LINEAGE) == LINEAGE_COLUMNS, "the port names the lineage columns"
