"""BigQuery table schemas as files: JSON in, `TableSchema` out, lineage columns appended.

Three forms are read: BigQuery's plain list of fields; an object with `description`, `partition_by` (or
`time_partitioning`), `cluster_by` (or `clustering`), `current_by` (columns that part the view `{table}_current`),
`also_named` (further names of the table, each a view of it) and `fields`, in front of which `nullable_copy_of` (path
of another table) puts those of that one, none of them REQUIRED; and the older `{version, inherits, schemas: {table:
{fields}}}`, several tables in one file, of which one may inherit the fields of others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from convergence.config.files.schema_places import in_folder
from convergence.config.files.shipped import shipped_configs
from convergence.errors import ConfigError, NotFound, did_you_mean
from convergence.ports.warehouse import LINEAGE_COLUMNS, PARTITION_BY, Column, TableSchema

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
        "current_by",
        "also_named",
        "nullable_copy_of",
        "labels",
    }
)
_LINEAGE: Final = {
    "x_org_slug": ("STRING", "Org (tenant) that owns the row."),
    "x_pipeline_id": ("STRING", "Pipeline that wrote the row."),
    "x_credential_id": ("STRING", "Credential that was used; empty when none was."),
    "x_pipeline_run_date": ("DATE", "Data date: the slice that a run replaces; tables are partitioned by it."),
    "x_run_id": ("STRING", "Run that wrote the row."),
    "x_ingested_at": ("TIMESTAMP", "When the row was written."),
    "x_ingestion_date": ("DATE", "Date of x_ingested_at in UTC."),
}


def load_table_schema(path: Path, name: str | None = None) -> TableSchema:
    """Read one schema file; the table has the file's name. Of a file with several tables, `name` is the one.

    Raises:
        ConfigError: not JSON, an unknown key, type or mode, or a column twice; `where` is `file:line` when known.
    """
    data = _json(path)
    options: Mapping[str, Any] = {}
    fields = data
    if name is not None and holds_tables(data):
        data = _inherited(data["schemas"], data.get("inherits"), name, where=path.name)
    if isinstance(data, dict):
        options = data
        _check_keys(data, _TABLE_KEYS, where=path.name)
        fields = data.get("fields", data.get("schema"))
        if isinstance(other := data.get("nullable_copy_of"), str):
            copied = [{**field, "mode": "NULLABLE"} for field in _json(path.parent / f"{other}.json")["fields"]]
            fields = [*copied, *(fields or [])]
    if not isinstance(fields, list) or not fields:
        raise ConfigError("a list of fields is expected, or an object with `fields`", where=path.name)
    columns = _columns(fields, where=path.name, path="")
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


def with_lineage(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the columns and behind them the lineage columns that are not among them."""
    known = {column.name for column in columns}
    return columns + tuple(
        Column(name, kind, description=description)
        for name, (kind, description) in _LINEAGE.items()
        if name not in known
    )


def tables_in(path: Path) -> list[str]:
    """Return the names of the tables that a schema file describes: its own with its other names, or those under
    `schemas`."""
    content = path.read_bytes()
    if b'"schemas"' not in content and b'"also_named"' not in content:
        return [path.stem]
    data = _json(path)
    if holds_tables(data):
        return list(data["schemas"])
    return [path.stem, *(_also_named(data, where=path.name) if isinstance(data, dict) else ())]


def holds_tables(data: Any) -> bool:
    """True for the older form `{version, inherits, schemas: {name: {fields}}}`."""
    return isinstance(data, dict) and isinstance(data.get("schemas"), dict)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"not valid JSON: {error.msg}", where=f"{path.name}:{error.lineno}:{error.colno}") from error


def _inherited(tables: Mapping[str, Any], shared: Any, name: str, *, where: str) -> dict[str, Any]:
    """Return one table of a file with several, with the fields of those that it inherits in front of its own."""
    found: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for each in _line(tables, shared, name, where=where):
        table = {"fields": tables[each]} if isinstance(tables[each], list) else dict(tables[each])
        table.pop("inherits", None)
        own = table.pop("fields", None)
        if not isinstance(own, list) or not all(isinstance(field, dict) for field in own):
            raise ConfigError(f"the table {each!r} needs a list of fields", where=where, path=f"schemas.{each}")
        fields.update({str(field.get("name")): field for field in own})
        found = table
    return {**found, "fields": list(fields.values())}


def _line(tables: Mapping[str, Any], shared: Any, name: str, *, where: str) -> list[str]:
    """Return what a table is made of, the most general one first."""
    line: list[str] = []
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each in line:
            continue
        if not isinstance(tables.get(each), list | dict):
            message = f"inherits names {each!r}, which this file does not describe.{did_you_mean(str(each), tables)}"
            raise ConfigError(message, where=where, path=f"schemas.{name}")
        line.insert(0, each)
        own = tables[each].get("inherits", ()) if isinstance(tables[each], dict) else ()
        above = own or (() if each in _names(shared) else shared)
        waiting += _names(above)
    return line


def _names(given: Any) -> list[Any]:
    return [given] if isinstance(given, str) else list(given or ())


class TableSchemas:
    """All schema files below a configs folder, by name: `**/schemas/*.json` and `**/seed/*.json`. Read on demand.

    Tables of the system and of FOCUS are there without a file, as reports and pages read them: those of the package
    are taken.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._loaded: dict[str, TableSchema] = {}

    def get(self, name: str) -> TableSchema:
        """Return the schema of table `name`; of another name of a table, that of the table.

        Raises:
            NotFound: no file has this name; the message has the nearest.
            ConfigError: the file is wrong, or two files have this name.
        """
        if name not in self._loaded:
            path = self.paths.get(name)
            if path is None:
                raise NotFound(f"No schema file is called {name}.json.{did_you_mean(name, self.paths)}")
            try:
                own = name if path.stem == name or holds_tables(_json(path)) else path.stem
                self._loaded[name] = load_table_schema(path, own)
            except ConfigError as error:
                raise in_folder(error, path, self._root) from error
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
            for name in tables_in(path):
                if name in found:
                    first, second = (_place(each, self._root, name) for each in (found[name], path))
                    raise ConfigError(f"two files describe the table {name!r}: the other is {first}", where=second)
                found[name] = path
        for folder in ("system", "focus"):
            for path in sorted((shipped_configs() / folder / "schemas").glob("*.json")):
                found.setdefault(path.stem, path)
        return found


def _place(path: Path, root: Path, name: str) -> str:
    """Return `file:line` of a table."""
    text = path.read_text(encoding="utf-8")
    key = re.search(rf'"{re.escape(name)}"\s*:', text) if tables_in(path) != [path.stem] else None
    number = 1 if key is None else text.count("\n", 0, key.start()) + 1
    return f"{path.relative_to(root).as_posix()}:{number}"


def _current(options: Mapping[str, Any], known: set[str], *, where: str) -> tuple[str, ...] | None:
    columns = options.get("current_by")
    if columns is None:
        return None
    if not isinstance(columns, list) or not set(columns) <= known:
        raise ConfigError("current_by is a list of the table's own columns, which may be empty", where=where)
    return tuple(columns)


def _also_named(options: Mapping[str, Any], *, where: str) -> tuple[str, ...]:
    names = options.get("also_named", [])
    if not isinstance(names, list) or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        raise ConfigError("also_named is a list of table names", where=where)
    return tuple(names)


def _columns(fields: list[Any], *, where: str, path: str) -> tuple[Column, ...]:
    columns: list[Column] = []
    for number, field in enumerate(fields):
        if not isinstance(field, dict):
            raise ConfigError("a field is an object with name and type", where=where, path=f"{path}[{number}]")
        column = _column(field, where=where, path=f"{path}{field.get('name', f'[{number}]')}")
        if column.name.lower() in {other.name.lower() for other in columns}:
            raise ConfigError(f"the column {column.name!r} appears twice", where=where, path=path)
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
        return str(given.get("field", PARTITION_BY))
    partition: str | None = options.get("partition_by", PARTITION_BY)
    return partition


def _cluster(options: Mapping[str, Any]) -> tuple[str, ...]:
    given = options.get("cluster_by", options.get("clustering", ()))
    if isinstance(given, dict):
        given = given.get("fields", ())
    return tuple([given] if isinstance(given, str) else given)


assert tuple(_LINEAGE) == LINEAGE_COLUMNS, "the port names the lineage columns"
