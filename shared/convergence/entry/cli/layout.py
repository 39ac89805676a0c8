"""Where text goes on a terminal of any width. Nothing is ever cut; what a program reads is one line each."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Collection, Sequence
from typing import Final

INDENT: Final = "  "
DEEPER: Final = "    "
_GAP: Final = 2  # between two columns
_NARROWEST: Final = 20
_BLANK: Final = "\x1f"  # instead of the spaces of what stays in one line; visible text has no control character
# Up to the end of its part of the sentence, also as `.venv/bin/convergence` and `python -m convergence`.
_COMMAND: Final = re.compile(r"(?:(?<!\S)\S*python[\d.]* -m |(?<![\w.-])(?:[\w.~-]*/)*)convergence(?: [^\s,;()]+)+")


def room(*, errors: bool = False) -> int | None:
    """Return the columns of the terminal that shows results, or errors; None where a program reads them."""
    stream = sys.stderr if errors else sys.stdout
    return shutil.get_terminal_size().columns if stream.isatty() else None


def below(text: str, width: int, *, indent: str = DEEPER) -> str:
    """Return text over as many lines as it takes. A command that fits into a line stays in one, to be copied."""
    width = max(width, _NARROWEST)

    def together(found: re.Match[str]) -> str:
        return found[0].replace(" ", _BLANK) if len(found[0]) <= width - len(DEEPER) else found[0]

    return textwrap.fill(
        _COMMAND.sub(together, text),
        width,
        initial_indent=indent,
        subsequent_indent=DEEPER,
        break_on_hyphens=False,
        break_long_words=False,  # an address stays one word, to be copied
    ).replace(_BLANK, " ")


def folded(text: str, width: int) -> str:
    """Return text whose lines are over as many as each takes; one that fits stays as it is."""
    return "\n".join(line if len(line) <= width else below(line, width, indent="") for line in text.split("\n"))


class Table:
    """A table for the terminal as it is now; columns in `right` are numbers.

    Where it is too narrow, the widest columns go below each row, with their names. A last column of text is
    beside the others in each row where it fits. Without `fold` only that last column moves.
    """

    def __init__(
        self, headers: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int], *, fold: bool
    ) -> None:
        self.rows = rows
        self._headers = headers
        self._right = right
        self._widths = [max(len(text) for text in column) for column in zip(headers, *rows, strict=True)]
        self._room = room()
        last = len(headers) - 1
        self._ends = [last] if last and last not in right else []
        self._body = [index for index in range(len(headers)) if index not in self._ends]
        self._beside = self._fitting() if fold else self._body

    def head(self) -> str:
        """Return the line of the headers."""
        return self._line(self._headers, [*self._beside, *self._ends])

    def line(self, row: Sequence[str]) -> tuple[str, list[str]]:
        """Return the line of a row, and what goes below it."""
        text = self._line(row, [*self._beside, *self._ends])
        fits = self._room is None or len(text) <= self._room
        named = [f"{self._headers[at]} {row[at]}" for at in self._body if at not in self._beside and row[at]]
        rest = [*self._packed(named), *(row[at] for at in self._ends if not fits)]
        return text if fits else self._line(row, self._beside), [each for each in rest if each]

    def _packed(self, named: Sequence[str]) -> list[str]:
        """Return lines of several values each, none of which is broken where it fits into a line."""
        lines: list[str] = []
        for each in named:
            longer = f"{lines[-1]} · {each}" if lines else each
            if lines and self._room is not None and len(DEEPER) + len(longer) > self._room:
                lines.append(each)
            else:
                lines[-1:] = [longer]
        return lines

    def _fitting(self) -> list[int]:
        """Return the columns that have room beside each other: without the widest ones, the first two as the last."""
        beside = list(self._body)
        while self._room is not None and len(beside) > 1 and self._width(beside) > self._room:
            beside.remove(max(beside[2:] or beside[1:], key=lambda at: self._widths[at]))
        return beside

    def _width(self, columns: Sequence[int]) -> int:
        return sum(self._widths[at] + _GAP for at in columns) - _GAP

    def _line(self, row: Sequence[str], columns: Sequence[int]) -> str:
        parts = [
            row[at].rjust(self._widths[at]) if at in self._right else row[at].ljust(self._widths[at]) for at in columns
        ]
        return (" " * _GAP).join(parts).rstrip()
