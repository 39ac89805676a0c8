"""Files of the configs folder that are for one org, whose slug is their name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from convergence.config.files import allocation, notifications

# Folder → suffixes of the files of orgs in it; all other files in it are for all orgs.
_FOLDERS: Final = {allocation.FOLDER: allocation.SUFFIXES, "notifications": (".json",)}


def files_of_orgs(configs_dir: Path) -> list[Path]:
    """Return their paths relative to the configs folder, in order."""
    return [
        found.relative_to(configs_dir)
        for folder, suffixes in _FOLDERS.items()
        for found in sorted((configs_dir / folder).glob("*"))
        if found.suffix in suffixes and found.relative_to(configs_dir).as_posix() != notifications.FILE
    ]
