"""Output: results to stdout, everything else to stderr, so that a pipe receives results only."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import traceback
from collections.abc import Collection, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import click
import orjson

from convergence.domain.times import to_text
from convergence.errors import ConfigErrors, ConvergenceError

COLOURS: Final = {
    "completed": "green",
    "failed": "red",
    "retrying": "yellow",
    "running": "cyan",
    "processing": "cyan",
    "validating": "cyan",
    "cancelled": "yellow",
    "skipped": "bright_black",
    "pending": "bright_black",
}


_INDENT: Final = "    "
_NARROWEST: Final = 20


def plain_terminal() -> bool:
    """True when the terminal cannot show colours and moving bars, or its user does not want them (no-color.org)."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


class Output:
    """How a command prints: for people, or as JSON for programs."""

    def __init__(self) -> None:
        self.json = False
        self.verbose = False
        self._color = False if plain_terminal() else None  # None: if it is a terminal

    def data(self, value: Any) -> None:
        """Print a result as JSON. Decimals are text, digit by digit: a float would not hold money."""
        click.echo(orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2).decode())

    def line(self, text: str = "") -> None:
        """Print a line of a result."""
        click.echo(text, color=self._color)

    def wrapped(self, text: str) -> None:
        """Print a line of a result below another one: on a terminal over as many lines as it takes, never cut."""
        room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        for line in text.splitlines():
            self.line(f"  {line}" if room is None else _below(line, room, indent="  "))

    def note(self, text: str) -> None:
        """Print a note to stderr."""
        click.echo(text, err=True, color=self._color)

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Collection[int] = ()) -> None:
        """Print a table; columns in `right` are numbers.

        On a terminal a last column of text that does not fit beside the others stands below them: nothing is ever cut.
        """
        cells = [[cell(value) for value in row] for row in rows]
        widths = [max(len(text) for text in column) for column in zip(headers, *cells, strict=True)]
        room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        self.line(click.style(_row(headers, widths, right), bold=True))
        for row in cells:
            text = _fitted(row, widths, right, room)
            for word in COLOURS.keys() & set(row):
                text = text.replace(word, status(word), 1)
            self.line(text)

    def error(self, error: BaseException) -> None:
        """Print an error to stderr."""
        if self.verbose:
            click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
        if self.json:
            click.echo(orjson.dumps({"error": _error_data(error)}).decode(), err=True)
        else:
            click.echo(click.style("Error: ", fg="red", bold=True) + _words(error), err=True, color=self._color)


def status(word: str) -> str:
    """Return a status in its colour."""
    return click.style(word, fg=COLOURS.get(word))


def cell(value: Any) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return exact(value)
    if isinstance(value, datetime):
        return to_text(value)
    if isinstance(value, dict | list):
        return orjson.dumps(value, default=_plain).decode()
    return " ".join(str(value).split("\n"))


def first_line(text: str) -> str:
    """Return what fits into one line of many."""
    return text.partition("\n")[0]


def exact(value: Decimal) -> str:
    """Return every digit, without zeros at the end. (`normalize` would round to the context's 28 digits.)"""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds(ms: int | None) -> str:
    """Return a duration for people."""
    if ms is None:
        return ""
    if ms < 60_000:
        return f"{ms / 1000:.2f} s"
    minutes, rest = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _fitted(row: Sequence[str], widths: Sequence[int], right: Collection[int], room: int | None) -> str:
    """Return a row; when it is wider than `room`, its last cell stands below the others, wrapped. Numbers stay."""
    line = _row(row, widths, right)
    if room is None or len(line) <= room or len(row) == 1 or len(row) - 1 in right:
        return line
    return f"{_row(row[:-1], widths[:-1], right)}\n{_below(row[-1], room)}".rstrip("\n")


def _below(text: str, room: int, indent: str = _INDENT) -> str:
    return textwrap.fill(
        text,
        max(room, _NARROWEST),
        initial_indent=indent,
        subsequent_indent=_INDENT,
        break_on_hyphens=False,
        break_long_words=False,  # an address stays one word, to be copied
    )


def _row(row: Sequence[str], widths: Sequence[int], right: Collection[int]) -> str:
    last = len(row) - 1
    parts = [
        text.rjust(width) if index in right else text if index == last else text.ljust(width)
        for index, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(parts)


def _words(error: BaseException) -> str:
    if isinstance(error, ConfigErrors):
        count = len(error.problems)
        return f"{count} mistake{'s' * (count != 1)} in the configuration\n" + "\n".join(
            f"  {problem}" for problem in error.problems
        )
    if isinstance(error, ConvergenceError):
        return str(error)
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error} (this is a bug or a broken installation; -v shows where)"


def _error_data(error: BaseException) -> dict[str, Any]:
    if isinstance(error, ConfigErrors):
        problems = [{"where": item.where, "path": item.path, "message": item.message} for item in error.problems]
        return {"code": error.code, "message": str(error), "problems": problems}
    code = "internal"
    if isinstance(error, ConvergenceError):
        code = error.code
    elif isinstance(error, click.ClickException):
        code = "input.usage"
    return {"code": code, "message": _words(error)}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return exact(value)
    if isinstance(value, datetime):
        return to_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    return str(value)
