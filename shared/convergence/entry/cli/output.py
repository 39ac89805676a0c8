"""Output: results to stdout, everything else to stderr, so that a pipe receives results only."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import click
import orjson

from convergence.domain.times import to_text
from convergence.engine.views.models import RunSummary, StepView
from convergence.entry.cli import layout
from convergence.entry.cli.findings import one_of_each_kind
from convergence.errors import ConfigErrors, ConvergenceError

COLOURS: Final = {
    "completed": "green",
    "completed with warnings": "yellow",
    "failed": "red",
    "retrying": "yellow",
    "running": "cyan",
    "processing": "cyan",
    "validating": "cyan",
    "cancelled": "yellow",
    "skipped": "bright_black",
    "pending": "bright_black",
}


_ERROR: Final = "Error:"
# What moves the cursor, clears the screen, sets titles or turns the direction of text: names and texts of tenants, and
# answers of servers, are printed too. Tab and newline stay.
_CONTROL: Final = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
_CONTROLS: Final = re.compile(f"[{_CONTROL}]")
_STYLED: Final = re.compile(rf"(\x1b\[(?:0|1|2|3[0-7]|9[0-7])m)|[{_CONTROL}]")  # with the styles of this program
_NOT_IN_JSON: Final = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # what JSON writers leave as it is


def visible(text: str) -> str:
    """Return text in which control characters are written out, such as `\\x1b`."""
    return _CONTROLS.sub(_written_out, text)


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
        click.echo(_json(orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2)))

    def data_line(self, value: Any) -> None:
        """Print as one line of JSON what a command that goes on until Ctrl-C has to say."""
        click.echo(_json(orjson.dumps(value, default=_plain)))

    def line(self, text: str = "") -> None:
        """Print a line of a result."""
        click.echo(_shown(text), color=self._color)

    def rows(self, text: str) -> None:
        """Print rows for programs, as they are; only a terminal gets no control characters."""
        click.echo(visible(text) if sys.stdout.isatty() else text, color=True)  # False would take sequences out

    def wrapped(self, text: str, *, indent: str = layout.INDENT) -> None:
        """Print a line of a result below another one: on a terminal over as many lines as it takes, never cut."""
        room = layout.room()
        for line in text.splitlines():
            self.line(f"{indent}{line}" if room is None else layout.below(line, room, indent=indent))

    def warnings(self, texts: Iterable[object], show: Callable[[str], None]) -> None:
        """Print warnings by `show`: of several of one kind the first, and where the others are."""
        for text in one_of_each_kind([str(text) for text in texts]):
            show(f"warning: {text}")

    def note(self, text: str) -> None:
        """Print a note to stderr."""
        click.echo(_shown(text), err=True, color=self._color)

    def table(
        self, headers: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Collection[int] = (), fold: bool = True
    ) -> None:
        """Print a table; columns in `right` are numbers.

        On a terminal that is too narrow, the widest columns go below each row, with their names: nothing is ever
        cut. Without `fold` that holds for a last column of text only. In a pipe a row is one line.
        """
        table = layout.Table(headers, [[cell(value) for value in row] for row in rows], right, fold=fold)
        self.line(click.style(table.head(), bold=True))
        for row in table.rows:
            text, below = table.line(row)
            for word in COLOURS.keys() & set(row):
                text = text.replace(word, status(word), 1)
            self.line(text)
            for rest in below:
                self.wrapped(rest, indent=layout.DEEPER)

    def error(self, error: BaseException) -> None:
        """Print an error to stderr."""
        if self.verbose:
            click.echo(visible("".join(traceback.format_exception(error))), err=True, nl=False)
        if self.json:
            click.echo(_json(orjson.dumps({"error": _error_data(error)})), err=True)
        else:
            room, text = layout.room(errors=True), f"{_ERROR} {visible(_words(error))}"
            text = (text if room is None else layout.folded(text, room)).removeprefix(_ERROR)
            click.echo(click.style(_ERROR, fg="red", bold=True) + text, err=True, color=self._color)


def status(word: str) -> str:
    """Return a status in its colour."""
    return click.style(word, fg=COLOURS.get(word))


def outcome(run: RunSummary) -> str:
    """Return the status as people read it; a server of an earlier release sends the stored one only."""
    return str(run.get("outcome", run["status"])).replace("_", " ")


def cell(value: Any) -> str:
    """Return a value as a table shows it."""
    return visible(one_line(value))


def one_line(value: Any) -> str:
    """Return a value as text without line ends, for programs: its other control characters stay."""
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


def failure(view: RunSummary | StepView) -> str:
    """Return the code and the message of a run's or a step's error; nothing without one."""
    message, code = view["error_message"], view.get("error_code")  # servers of earlier releases send no code
    return "" if message is None else f"{code}: {message}" if code else message


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


def _json(data: bytes) -> str:
    return _NOT_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", data.decode())


def _shown(text: str) -> str:
    return _STYLED.sub(lambda found: found[1] or _written_out(found), text)


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _words(error: BaseException) -> str:
    if isinstance(error, ConfigErrors):
        count = len(error.problems)
        lines = [f"{layout.INDENT}{problem}" for problem in error.problems]
        return "\n".join([f"{count} mistake{'s' * (count != 1)} in the configuration", *lines])
    if isinstance(error, ConvergenceError):
        return str(error)
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the output cannot be written: {error.strerror}"
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
