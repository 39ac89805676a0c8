"""Stored procedures and migrations as files: `configs/system/{procedures,migrations}/**/*.sql`, one each."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from convergence.ports.warehouse import Routine

FOLDER: Final = Path("system") / "procedures"
MIGRATIONS: Final = Path("system") / "migrations"


def load_procedures(root: Path) -> list[Routine]:
    """Return the procedures below the configs folder `root`, by name; a file is named after its procedure."""
    return _load(root, FOLDER)


def procedure_names(root: Path) -> frozenset[str]:
    """Return the names of the procedures below the configs folder `root`, without reading the files."""
    return frozenset(file.stem for file in (root / FOLDER).rglob("*.sql"))


def load_migrations(root: Path) -> list[Routine]:
    """Return the migrations below the configs folder `root`, in the order in which they run: by name."""
    return _load(root, MIGRATIONS)


def _load(root: Path, folder: Path) -> list[Routine]:
    return [
        Routine(
            name=file.stem,
            digest=hashlib.sha256(content := file.read_bytes()).hexdigest(),
            source=file.relative_to(root).as_posix(),
            definition=content.decode(),
        )
        for file in sorted((root / folder).rglob("*.sql"), key=lambda file: file.stem)
    ]
