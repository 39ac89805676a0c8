"""Options that every command takes, before or after its name, and the class of all commands."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from convergence.config.parameters.dates import parse_date
from convergence.domain.billing_periods import month_of
from convergence.entry.cli.session import Session
from convergence.errors import InvalidInput

COMPLETE: Final = "_CONVERGENCE_COMPLETE"  # whatever the program is called; `completion` prints it into its scripts
_MONTH: Final = re.compile(r"\d{4}-\d\d")
F = TypeVar("F", bound=Callable[..., Any])


def _setter(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def store(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value is not None and value is not False:
            session: Session = context.find_root().obj
            target = session.out if name in {"json", "verbose"} else session
            setattr(target, name, value)

    return store


def _option(*names: str, to: str, hidden: bool, **settings: Any) -> click.Option:
    return click.Option(
        names, expose_value=False, is_eager=True, callback=_setter(to), hidden=hidden, default=None, **settings
    )


def _full(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    _setter("synchronous")(context, parameter, None if value is None else value.upper())


def global_options(*, hidden: bool) -> list[click.Parameter]:
    """Return the options; environment variables are read on the group only, so that a command's own option wins."""
    read = not hidden
    folder = click.Path(path_type=Path, file_okay=False)
    synchronous = click.Option(
        ("--synchronous",),
        type=click.Choice(["full", "normal"]),
        expose_value=False,
        callback=_full,
        hidden=hidden,
        help="full survives a power cut, normal (the default) a killed process.",
    )
    return [
        _option(
            "--data-dir",
            to="data_dir",
            hidden=hidden,
            type=folder,
            envvar="CONVERGENCE_DATA_DIR" if read else None,
            help="Where state, warehouse, key and log are kept (default .convergence; CONVERGENCE_DATA_DIR).",
        ),
        _option(
            "--configs",
            to="configs_dir",
            hidden=hidden,
            type=folder,
            envvar="CONVERGENCE_CONFIGS" if read else None,
            help="The configs folder (default configs; CONVERGENCE_CONFIGS).",
        ),
        synchronous,
        _option(
            "--url",
            to="url",
            hidden=hidden,
            metavar="URL",
            help="Run the command on this server (CONVERGENCE_URL); key: CONVERGENCE_API_KEY or CONVERGENCE_ROOT_KEY.",
        ),
        _option("--profile", to="profile", hidden=hidden, metavar="NAME", help="A server of your profiles file."),
        _option("--json", to="json", hidden=False, is_flag=True, help="Results as JSON on stdout, errors on stderr."),
        _option("-v", "--verbose", to="verbose", hidden=hidden, is_flag=True, help="Show the log and tracebacks."),
    ]


class Day(click.ParamType[str]):
    """A day as every date parameter takes it: 2026-11-07, TODAY-7, YESTERDAY, in capitals or not; as YYYY-MM-DD."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the day."""
        try:
            return parse_date(value, date.today()).isoformat()  # noqa: DTZ011 - the caller's own day
        except ValueError as error:
            self.fail(str(error).removeprefix("is "), param, ctx)


class Month(click.ParamType[date]):
    """A month, such as 2026-11, or a day of it, as `Day` has it; the value is the month's first day."""

    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Return the first day."""
        if isinstance(value, date):
            return value
        try:
            today = date.today()  # noqa: DTZ011 - the caller's own day
            return month_of(value if _MONTH.fullmatch(value) else parse_date(value, today).isoformat()[:7])
        except (ValueError, InvalidInput):
            self.fail(f"{value!r} is not a month such as 2026-11, or a day of it (also TODAY-n)", param, ctx)


class Command(click.Command):
    """A command with the global options, that first reports unfinished runs."""

    reminds = True

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        own = {name for parameter in self.params for name in parameter.opts}
        more = [each for each in global_options(hidden=True) if own.isdisjoint(each.opts)]
        self.params = [*self.params, *more]  # an option of its own wins; the global one then stands before the name

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return all parameters; for a shell that completes, with their values."""
        if COMPLETE in os.environ:
            from convergence.entry.cli.completed import complete

            complete(self.params)
        return super().get_params(ctx)

    def invoke(self, ctx: click.Context) -> Any:
        """Report them, then run the command."""
        if self.reminds:
            ctx.find_root().obj.remind()
        return super().invoke(ctx)


class SilentCommand(Command):
    """A command that reports unfinished runs itself."""

    reminds = False
