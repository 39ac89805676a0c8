"""Stored procedures as files: `configs/system/procedures/{domain}/*.sql`, one procedure each."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from convergence.ports.warehouse import Routine

FOLDER: Final = Path("system") / "procedures"


def load_procedures(root: Path) -> list[Routine]:
    """Return the procedures below the configs folder `root`, by name; a file is named after its procedure."""
    return [
        Routine(
            name=file.stem,
            digest=hashlib.sha256(content := file.read_bytes()).hexdigest(),
            source=file.relative_to(root).as_posix(),
            definition=content.decode(),
        )
        for file in sorted((root / FOLDER).rglob("*.sql"), key=lambda file: file.stem)
    ]
