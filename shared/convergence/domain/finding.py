"""What a check of an installation found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`found` describes the part that `check` names. `cure` is empty when all is well.

    `warning`: the finding does not stop anything, and may be intended.
    """

    check: str
    found: str
    cure: str = ""
    warning: bool = False

    @property
    def is_fault(self) -> bool:
        """Whether the part is not in order."""
        return bool(self.cure) and not self.warning
