"""Makes the emulator's own environment: `python -m tests.emulators.environment`, or `make emulators`.

local-bigquery wants Python 3.13 and asks for a DuckDB whose extensions would be downloaded at start; the lock overrides
it with an older one, which has them as wheels. So it lives in an environment of its own, beside the project's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FOLDER: Final = Path(os.environ.get("CONVERGENCE_EMULATORS", Path(__file__).parents[2] / "build" / "emulators"))
LOCK: Final = Path(__file__).parents[2] / "infra" / "requirements" / "emulators.txt"
EXTENSIONS: Final = ("ducklake", "icu", "spatial")
_OLDEST: Final = (3, 13)


def python_of(folder: Path = FOLDER) -> Path | None:
    """Return the interpreter of a finished environment, None when there is none."""
    python = folder / "bin" / "python"
    return python if python.exists() and (folder / "finished").exists() else None


def main() -> int:
    """Make the environment; say why when that is not possible."""
    if python_of() is not None:
        return 0
    base = next((path for path, version in interpreters() if version >= _OLDEST), None)
    if base is None:
        print("no Python 3.13 or newer was found: what needs BigQuery's stand-in is skipped", file=sys.stderr)
        return 1
    subprocess.run([base, "-m", "venv", "--clear", FOLDER], check=True)
    python = FOLDER / "bin" / "python"
    install = ["install", "-qq", "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r", str(LOCK)]
    subprocess.run([python, "-m", "pip", *install], check=True)
    (FOLDER / "finished").touch()
    return 0


def interpreters() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield each Python of this machine with its version; it is asked, since a shim may promise what it cannot run."""
    found = [sys.executable, *(shutil.which(f"python3.{minor}") or "" for minor in (12, 13, 14))]
    homes = (Path.home() / ".pyenv" / "versions", Path.home() / ".local" / "share" / "uv" / "python")
    found += [str(path) for home in homes for path in sorted(home.glob("*3.1[2-9]*/bin/python3"))]
    for path in filter(None, found):
        asked = subprocess.run(
            [path, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, check=False
        )
        if asked.returncode == 0:
            yield path, tuple(int(word) for word in asked.stdout.split())


if __name__ == "__main__":
    raise SystemExit(main())
