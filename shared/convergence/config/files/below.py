"""Files that a pipeline names below the configs folder."""

from __future__ import annotations

from pathlib import Path

from convergence.errors import StepFailed, did_you_mean


def file_below(configs_dir: Path, path: str) -> Path | None:
    """Return the file, or None if there is none, the path leads out of the folder, or a file cannot have it."""
    root = configs_dir.resolve()
    try:
        file = (root / path.removeprefix("configs/")).resolve()
        return file if file.is_relative_to(root) and file.is_file() else None
    except (OSError, ValueError):  # a name that is too long, or has a null character
        return None


def read_below(configs_dir: Path, path: str) -> bytes:
    """Return the content of a file below the configs folder; links that lead out of it are refused too.

    Raises:
        StepFailed: the path leads out of the folder, or there is no such file.
    """
    file = file_below(configs_dir, path)
    if file is None:
        folder = (configs_dir / path.removeprefix("configs/")).parent
        beside = [each for each in configs_dir.rglob("*") if each.parent == folder]
        siblings = [each.relative_to(configs_dir).as_posix() for each in beside]
        raise StepFailed(f"there is no file {path[:200]!r} below the configs folder.{did_you_mean(path, siblings)}")
    return file.read_bytes()
