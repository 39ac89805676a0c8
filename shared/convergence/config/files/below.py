"""Files that a pipeline names below the configs folder."""

from __future__ import annotations

from pathlib import Path

from convergence.errors import StepFailed, did_you_mean


def read_below(configs_dir: Path, path: str) -> bytes:
    """Return the content of a file below the configs folder; links that lead out of it are refused too.

    Raises:
        StepFailed: the path leaves the folder, or there is no such file.
    """
    root = configs_dir.resolve()
    file = (root / path.removeprefix("configs/")).resolve()
    if not file.is_relative_to(root):
        raise StepFailed(f"{path!r} leaves the configs folder; name a file below it")
    if not file.is_file():
        siblings = [str(other.relative_to(root)) for other in file.parent.glob("*")] if file.parent.is_dir() else []
        raise StepFailed(f"there is no file {path!r} below the configs folder.{did_you_mean(path, siblings)}")
    return file.read_bytes()
