"""What a check of an installation found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`found` is said of the part that `check` names. `cure` is empty when all is well.

    `warning`: what the cure is for stops nothing, and may be meant.
    """

    check: str
    found: str
    cure: str = ""
    warning: bool = False

    @property
    def is_fault(self) -> bool:
        """Whether the part is not in order."""
        return bool(self.cure) and not self.warning
