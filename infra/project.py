"""What pyproject.toml and the installed packages say about requirements."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
LOCKS: Final = ROOT / "infra" / "requirements"
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def requirements_of(requirement: Requirement, environment: Mapping[str, str] | None = None) -> Iterator[Requirement]:
    """Yield what a requirement asks for in its turn, that of its extras included, as the installed package says.

    Markers are evaluated for `environment`; None is this Python.
    """
    if canonicalize_name(requirement.name) == canonicalize_name(PROJECT["name"]):
        texts = [text for extra in requirement.extras for text in PROJECT["optional-dependencies"][extra]]
        yield from map(Requirement, [*PROJECT["dependencies"], *texts])
        return
    for text in metadata.requires(requirement.name) or []:
        found = Requirement(text)
        for extra in ("", *requirement.extras):
            if found.marker is None or found.marker.evaluate({**(environment or {}), "extra": extra}):
                yield found
                break
