"""Installs Azurite: `python -m tests.azurite.environment`, or `make azurite`.

It is a program for Node.js, so it has a lock of its own, and npm installs it in a folder of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
FOLDER: Final = Path(os.environ.get("CONVERGENCE_AZURITE", HERE.parents[1] / "build" / "azurite"))
FILES: Final = ("package.json", "package-lock.json", ".npmrc")
_PROGRAM: Final = Path("node_modules/azurite/dist/src/blob/main.js")


def program_of(folder: Path = FOLDER) -> Path | None:
    """Return the program of a finished installation of this lock, None when there is none."""
    lock = folder / "finished"
    current = lock.exists() and lock.read_bytes() == (HERE / "package-lock.json").read_bytes()
    return folder / _PROGRAM if current else None


def main() -> int:
    """Install it; say why when that is not possible."""
    if program_of() is not None:
        return 0
    if shutil.which("npm") is None or shutil.which("node") is None:
        print("no npm was found: what needs Azurite is skipped", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(HERE / name, FOLDER)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(command, cwd=FOLDER, check=True)
    shutil.copy(HERE / "package-lock.json", FOLDER / "finished")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
