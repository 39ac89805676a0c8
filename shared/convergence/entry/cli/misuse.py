"""What beginners type, and what it should have been."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import click

from convergence.errors import InvalidInput, did_you_mean

_PARAMETER: Final = "a parameter of the pipeline is given as -p NAME=VALUE"
_STATEMENT: Final = "the statement is one argument: put it in quotes"
_HINTS: Final = {
    "run": _PARAMETER, "plan": _PARAMETER, "replay": _PARAMETER, "backfill": _PARAMETER, "query": _STATEMENT,
}  # fmt: skip

_FILE_OF_CSV: Final = re.compile(r"Got unexpected extra argument \([^() ]*(?:/[^() ]*|\.(?:csv|tsv|txt))\)")


def check_text(argv: Sequence[str]) -> None:
    """Raise `InvalidInput` for an argument that is not UTF-8: it could be neither stored nor sent."""
    for argument in argv:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = argument.encode("utf-8", "backslashreplace").decode()[:80]
            raise InvalidInput(f"the argument '{shown}' is not UTF-8: write it in UTF-8") from None


def explained(error: click.ClickException) -> click.ClickException:
    """Return the error with what to do, where it is a usual slip; any other as it is."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return error
    words = error.format_message()
    if isinstance(context.command, click.Group) and words.startswith("No such command"):
        name = words.partition("'")[2].partition("'")[0]
        known = context.command.list_commands(context)
        return click.UsageError(f"{context.command.name} has no {name!r}.{did_you_mean(name, known)}", context)
    if context.command.name == "query" and _FILE_OF_CSV.match(words):
        return click.UsageError("--csv prints to stdout and takes no file: write `--csv > FILE`", context)
    hint = _HINTS.get(context.command.name or "")
    extra = words.startswith("Got unexpected extra argument") or isinstance(error, click.NoSuchOption)
    return click.UsageError(f"{words} In `{context.command.name}` {hint}.", context) if hint and extra else error
