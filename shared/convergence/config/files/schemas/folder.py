"""The schema files of a configs folder, by table name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from convergence.config.files.schemas.inheritance import holds_tables
from convergence.config.files.schemas.places import in_folder
from convergence.config.files.schemas.table import bases_in, load_table_schema, read_json, tables_in
from convergence.config.files.shipped import shipped_configs
from convergence.errors import ConfigError, NotFound, did_you_mean
from convergence.ports.warehouse import TableSchema


class TableSchemas:
    """All schema files below a configs folder, by name: `**/schemas/*.json` and `**/seed/*.json`. Read on demand.

    Tables of the system and of FOCUS need no file in the folder: without one, the schema files of the package are
    used, because reports and pages read these tables.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._loaded: dict[str, TableSchema] = {}
        self._unclear: dict[str, ConfigError] = {}

    def get(self, name: str) -> TableSchema:
        """Return the schema of table `name`, which may also be one of the table's other names.

        Raises:
            NotFound: no file has this name; the message names the nearest.
            ConfigError: the file is wrong, or two files have this name.
        """
        if name not in self._loaded:
            path = self.paths.get(name)
            if path is None and name in self._unclear:
                raise self._unclear[name]
            if path is None:
                raise NotFound(f"No schema file is called {name}.json.{did_you_mean(name, self.paths)}")
            try:
                own = name if path.stem == name or holds_tables(read_json(path)) else path.stem
                self._loaded[name] = load_table_schema(path, own)
            except ConfigError as error:
                raise in_folder(error, path, self._root) from error
        return self._loaded[name]

    def check_names(self) -> None:
        """Raise `ConfigError` where two files describe one table."""
        _ = self.paths

    @cached_property
    def paths(self) -> Mapping[str, Path]:
        """Files by table name. A name that several files use, each only as a base of its own tables, is not a table."""
        found: dict[str, Path] = {}
        for path in sorted(self._root.rglob("*.json")):
            if path.parent.name not in {"schemas", "seed"}:
                continue
            for name in tables_in(path):
                if name in found:
                    first, second = (_place(each, self._root, name) for each in (found[name], path))
                    clash = ConfigError(f"two files describe the table {name!r}: the other is {first}", where=second)
                    if not all(name in bases_in(each) for each in (found[name], path)):
                        raise clash
                    self._unclear[name] = clash
                    continue
                found[name] = path
        for name in self._unclear:
            del found[name]
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
