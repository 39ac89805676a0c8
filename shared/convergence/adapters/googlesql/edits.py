"""Changes to the text of a statement, which otherwise stays as its author wrote it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters `start` up to `end` of a text become `text`."""

    start: int
    end: int
    text: str

    def moved(self, by: int) -> Edit:
        """Return the edit for a text in which everything is `by` characters later."""
        return Edit(self.start + by, self.end + by, self.text)


def applied(text: str, edits: Iterable[Edit]) -> str:
    """Return a text with edits that do not overlap; of two at one place the first comes first."""
    parts, position = [], 0
    for edit in sorted(edits, key=lambda each: (each.start, each.end)):
        parts += [text[position : edit.start], edit.text]
        position = edit.end
    return "".join([*parts, text[position:]])
