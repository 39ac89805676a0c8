"""The command `convergence`: its commands by name, each imported on first use."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import click

from convergence.config.processors.packages import OWN
from convergence.entry.cli.installation import Installation
from convergence.entry.cli.misuse import check_text, explained
from convergence.entry.cli.options import COMPLETE, global_options
from convergence.entry.cli.session import Session, Terminated
from convergence.errors import ConvergenceError, did_you_mean

OK, FAILED, BAD_INPUT, LOCKED, INTERRUPTED, TERMINATED = 0, 1, 2, 4, 130, 143  # docs/cli.md

# Name → module below convergence.entry.cli.commands; the command is called `command` there, or has the name after the
# colon.
COMMANDS: Final = {
    "demo": "demo.command",
    "run": "run",
    "resume": "resume",
    "status": "status",
    "history": "history",
    "logs": "logs",
    "replay": "replay",
    "reprice": "reprice",
    "cancel": "cancel",
    "dead-letters": "dead_letters.command",
    "schedule": "schedule.command",
    "queue": "queue",
    "pipeline": "pipeline",
    "backfill": "backfill",
    "backfills": "backfills",
    "query": "query",
    "tables": "tables",
    "report": "report",
    "export": "export",
    "trace": "trace",
    "validate": "validate",
    "migrate-config": "migrate_config",
    "init": "init",
    "new": "new.command",
    "configs": "configs",
    "pipelines": "pipelines",
    "params": "params",
    "plan": "plan",
    "graph": "graph",
    "schema": "schema",
    "schemas": "schemas",
    "org": "org",
    "key": "key",
    "hierarchy": "hierarchy",
    "subscription": "subscription",
    "period": "period",
    "invoice": "invoice",
    "integration": "integration",
    "webhooks": "webhooks.command",
    "procedures": "procedures",
    "processors": "processors",
    "migrate": "migrate",
    "vacuum": "vacuum",
    "doctor": "doctor",
    "serve": "serve",
    "sandbox": "sandbox",
    "backup": "backup",
    "restore": "restore",
    "completion": "completion",
}


class Commands(click.Group):
    """A group that imports a command when it is needed: a cold start pays for one, not for all."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return all names, in the order in which a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Return a command, or None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"convergence.entry.cli.commands.{COMMANDS[cmd_name]}").command
        return command

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        """Read the words; `--help` is answered here."""
        try:
            return super().make_context(*args, **settings)
        except BrokenPipeError:
            _drop_stdout()
            raise click.exceptions.Exit(OK) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. A reader that is gone (`convergence history acme | head`) is not an error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _drop_stdout()
            return OK

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command; an unknown one gets the nearest names."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command {args[0]!r}.{did_you_mean(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


def _version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """Not eager: `--json` counts on either side of it."""
    if asked:
        from importlib.metadata import version

        session: Session = context.obj
        number = version(OWN)
        if session.out.json:
            session.out.data({"version": number})
        else:
            session.out.line(number)
        context.exit()


@click.command(
    cls=Commands,
    params=global_options(hidden=False),
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,  # options without a command are answered with the help, too
)
@click.option("--version", is_flag=True, expose_value=False, callback=_version, help="Show the version and exit.")
@click.pass_context
def cli(context: click.Context) -> None:
    """Pipelines as config: usage and cost of many tenants into one FOCUS table.

    Begin with:  convergence demo

    Exit codes: 0 done, 1 a run failed, 2 bad input or configuration, 4 another process writes, 130 Ctrl-C.
    """
    if context.invoked_subcommand is None:
        raise click.exceptions.NoArgsIsHelpError(context)


def run(installation: Installation, argv: Sequence[str], program: str = "convergence") -> int:
    """Run the command line `argv` and return the exit code. Every error ends here, as one message."""
    session = Session(installation, program)
    try:
        check_text(argv)
        result = cli.main(args=list(argv), prog_name=program, complete_var=COMPLETE, standalone_mode=False, obj=session)
        return result if isinstance(result, int) else OK
    except ConvergenceError as error:
        session.out.error(session.placed(error))
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        try:
            _help(session, error.ctx)
        except BrokenPipeError:
            _drop_stdout()
        return OK
    except click.ClickException as error:
        session.out.json = session.out.json or "--json" in argv
        return _usage(session, error)
    except (KeyboardInterrupt, click.Abort):
        _interrupted(session)
        return INTERRUPTED
    except Terminated:
        _interrupted(session)
        return TERMINATED
    except Exception as error:  # noqa: BLE001 - the edge: a bug ends as one line too, the traceback needs -v
        session.out.error(error)
        return FAILED
    finally:
        session.close()


def _help(session: Session, context: click.Context | None) -> None:
    """Answer a group that got no command: its help, for a program its commands."""
    assert context is not None, "click's error of a group has its context"
    group = context.command
    if not session.out.json or not isinstance(group, click.Group):
        session.out.line(context.get_help())
        return
    known = {name: group.get_command(context, name) for name in group.list_commands(context)}
    listed = [{"name": name, "help": each.get_short_help_str(200)} for name, each in known.items() if each is not None]
    session.out.data({"usage": context.command_path, "commands": listed})


def _usage(session: Session, error: click.ClickException) -> int:
    session.out.error(explained(error))
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None and not session.out.json:
        session.out.note(f"See: {context.command_path} --help")
    return error.exit_code


def _interrupted(session: Session) -> None:
    """Report that the work is safe: it is all in the documents."""
    session.out.note("Interrupted.")
    session.remind()


def _drop_stdout() -> None:
    """The reader is gone; without this the interpreter complains when it flushes at exit."""
    import os
    import sys

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
