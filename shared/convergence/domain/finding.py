"""What a check of an installation found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`found` is said of the part that `check` names. `cure` is empty when all is well."""

    check: str
    found: str
    cure: str = ""
