"""Stored procedures and migrations as files: `configs/system/{procedures,migrations}/**/*.sql`, one each."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from convergence.errors import ConfigError, NotFound
from convergence.ports.warehouse import Routine

FOLDER: Final = Path("system") / "procedures"
MIGRATIONS: Final = Path("system") / "migrations"


def load_procedures(root: Path) -> list[Routine]:
    """Return the procedures below the configs folder `root`, by name; a file is named after its procedure."""
    return _load(root, FOLDER)


def procedure_names(root: Path) -> frozenset[str]:
    """Return the names of the procedures below the configs folder `root`, without reading the files."""
    return frozenset(file.stem for file in (root / FOLDER).rglob("*.sql"))


def procedure_file(root: Path, name: str) -> Path:
    """Return the file of a procedure below the configs folder `root`. Raises `NotFound`."""
    for file in (root / FOLDER).rglob("*.sql"):
        if file.stem == name:
            return file
    raise NotFound(f"no file below {FOLDER.as_posix()} defines {name!r}")


def load_migrations(root: Path) -> list[Routine]:
    """Return the migrations below the configs folder `root`, in the order in which they run: by name."""
    return _load(root, MIGRATIONS)


def load_procedure(root: Path, file: Path) -> Routine:
    """Return the procedure of a file below the configs folder `root`. Raises `ConfigError`: it is not UTF-8."""
    content, source = file.read_bytes(), file.relative_to(root).as_posix()
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError("the file is not UTF-8: save it as UTF-8", where=f"{source}:{line}") from error
    return Routine(name=file.stem, digest=hashlib.sha256(content).hexdigest(), source=source, definition=text)


def _load(root: Path, folder: Path) -> list[Routine]:
    files = sorted((root / folder).rglob("*.sql"), key=lambda file: file.stem)
    return [load_procedure(root, file) for file in files]
