"""Makes the validators' own environment: `python -m tests.referees.environment`, or `make referees`.

focus-validator wants numpy 1, which has wheels for Python 3.12 at the latest, and other releases of DuckDB and sqlglot
than ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.emulators.environment import interpreters

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = Path(os.environ.get("CONVERGENCE_REFEREES", ROOT / "build" / "referees"))
LOCK: Final = ROOT / "infra" / "requirements" / "focus.txt"
REQUIRED: Final = "CONVERGENCE_REQUIRE_REFEREES"
VERSION: Final = (3, 12)


def python_of(folder: Path = FOLDER) -> Path | None:
    """Return the interpreter of a finished environment, None when there is none."""
    python = folder / "bin" / "python"
    return python if python.exists() and (folder / "finished").exists() else None


def main() -> int:
    """Make the environment; say why when that is not possible."""
    if python_of() is not None:
        return 0
    base = next((path for path, version in interpreters() if version == VERSION), None)
    if base is None:
        print("no Python 3.12 was found: the public validators of FOCUS are skipped", file=sys.stderr)
        return 1
    subprocess.run([base, "-m", "venv", "--clear", FOLDER], check=True)
    python = FOLDER / "bin" / "python"
    install = ["install", "-qq", "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r", str(LOCK)]
    subprocess.run([python, "-m", "pip", *install], check=True)
    (FOLDER / "finished").touch()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
