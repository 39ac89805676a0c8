"""BigQuery table schemas as files: JSON in, `TableSchema` out, lineage columns appended.

Three forms are read:

- BigQuery's plain list of fields;
- an object with `description`, `partition_by` (or `time_partitioning`), `cluster_by` (or `clustering`), `current_by`
  (columns that part the view `{table}_current`), `also_named` (further names of the table, each a view of it) and
  `fields`. `nullable_copy_of` (path of another table) puts that table's fields in front of them, none of them REQUIRED;
- the older `{version, inherits, schemas: {table: {fields}}}`: several tables in one file, of which one may inherit the
  fields of others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from convergence.config.files.schemas.fields import NAME, check_keys, columns_of, with_lineage
from convergence.config.files.schemas.inheritance import bases_of, holds_tables, with_inherited
from convergence.errors import ConfigError
from convergence.ports.warehouse import PARTITION_BY, TableSchema

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
        "current_by",
        "also_named",
        "nullable_copy_of",
        "labels",
    }
)


def load_table_schema(path: Path, name: str | None = None) -> TableSchema:
    """Read one schema file; the table has the file's name. In a file with several tables, `name` selects one.

    Raises:
        ConfigError: not JSON, an unknown key, type or mode, or a duplicate column; `where` is `file:line` when known.
    """
    data = read_json(path)
    options: Mapping[str, Any] = {}
    fields = data
    if name is not None and holds_tables(data):
        data = with_inherited(data["schemas"], data.get("inherits"), name, where=path.name)
    if isinstance(data, dict):
        options = data
        check_keys(data, _TABLE_KEYS, where=path.name)
        fields = data.get("fields", data.get("schema"))
        if isinstance(other := data.get("nullable_copy_of"), str):
            fields = [*_nullable_copy(path, other), *(fields or [])]
    if not isinstance(fields, list) or not fields:
        raise ConfigError("a list of fields is expected, or an object with `fields`", where=path.name)
    columns = columns_of(fields, where=path.name, path="")
    known = {column.name for column in columns}
    return TableSchema(
        name=name or path.stem,
        columns=with_lineage(columns),
        description=options.get("description", ""),
        partition_by=_partition(options),
        cluster_by=_cluster(options),
        current_by=_current(options, known, where=path.name),
        also_named=_also_named(options, where=path.name),
    )


def _nullable_copy(path: Path, other: str) -> list[dict[str, Any]]:
    """Return the fields of the table `other`, a path beside this file without its ending, none of them REQUIRED."""
    copied = path.parent / f"{other}.json"
    if not copied.is_file():
        raise ConfigError(f"`nullable_copy_of` names {other!r}, but there is no file {copied.name}", where=path.name)
    data = read_json(copied)
    fields = data.get("fields") if isinstance(data, dict) else data
    if not isinstance(fields, list) or not all(isinstance(field, dict) for field in fields):
        raise ConfigError(f"`nullable_copy_of` names {other!r}, which has no list of `fields`", where=path.name)
    return [{**field, "mode": "NULLABLE"} for field in fields]


def tables_in(path: Path) -> list[str]:
    """Return the names of the tables that a schema file describes: its own with its other names, or those under
    `schemas`."""
    content = path.read_bytes()
    if b'"schemas"' not in content and b'"also_named"' not in content:
        return [path.stem]
    data = read_json(path)
    if holds_tables(data):
        return list(data["schemas"])
    return [path.stem, *(_also_named(data, where=path.name) if isinstance(data, dict) else ())]


def bases_in(path: Path) -> frozenset[str]:
    """Return the names of a file's tables from which others of this file inherit."""
    data = read_json(path)
    return bases_of(data) if holds_tables(data) else frozenset()


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises `ConfigError` with `file:line:column` where it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"not valid JSON: {error.msg}", where=f"{path.name}:{error.lineno}:{error.colno}") from error


def _current(options: Mapping[str, Any], known: set[str], *, where: str) -> tuple[str, ...] | None:
    columns = options.get("current_by")
    if columns is None:
        return None
    if not isinstance(columns, list) or not set(columns) <= known:
        raise ConfigError("current_by must be a list of the table's own columns, which may be empty", where=where)
    return tuple(columns)


def _also_named(options: Mapping[str, Any], *, where: str) -> tuple[str, ...]:
    names = options.get("also_named", [])
    if not isinstance(names, list) or not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
        raise ConfigError("also_named must be a list of table names", where=where)
    return tuple(names)


def _partition(options: Mapping[str, Any]) -> str | None:
    given = options.get("time_partitioning", options.get("timePartitioning"))
    if isinstance(given, dict):
        return str(given.get("field", PARTITION_BY))
    partition: str | None = options.get("partition_by", PARTITION_BY)
    return partition


def _cluster(options: Mapping[str, Any]) -> tuple[str, ...]:
    given = options.get("cluster_by", options.get("clustering", ()))
    if isinstance(given, dict):
        given = given.get("fields", ())
    return tuple([given] if isinstance(given, str) else given)
