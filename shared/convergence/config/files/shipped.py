"""The product's own configs, for what your configs folder need not have: system tables, providers, plans."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[2]


def shipped_configs() -> Path:
    """Return the folder: inside the installed package, beside it in a function's, in a checkout beside `shared/`."""
    near = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
    return next((folder for folder in near if folder.is_dir()), _PACKAGE.parents[1] / "configs")


def own_or_shipped(configs_dir: Path, file: str) -> Path:
    """Return the path of a file below the configs folder, or the product's own where it is missing."""
    own = configs_dir / file
    return own if own.exists() else shipped_configs() / file
