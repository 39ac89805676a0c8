"""Where in a table's schema file a mistake is: a path from the configs folder, and the line of the column."""

from __future__ import annotations

import re
from pathlib import Path

from convergence.errors import ConfigError


def in_folder(error: ConfigError, path: Path, root: Path) -> ConfigError:
    """Return a mistake of the file at `path`, whose place begins with the file's name, placed in the folder `root`."""
    name, colon, line = error.where.partition(":")
    if name != path.name or not path.is_relative_to(root):
        return error
    place = path.relative_to(root).as_posix() + (f":{line}" if colon else _line_of(path, error.path))
    return ConfigError(error.message, where=place, path=error.path)


def _line_of(path: Path, at: str) -> str:
    """Return `:line` of the column that a path of names ends with; of the file's first line without one."""
    column = re.escape(at.rpartition(".")[2])
    text = path.read_text(encoding="utf-8")
    found = re.search(rf'"name"\s*:\s*"{column}"', text) if column else None
    return ":1" if found is None else f":{text.count(chr(10), 0, found.start()) + 1}"
