"""`convergence demo`: the main job on one screen, from a key to FOCUS charges that reconcile with the bill."""

from __future__ import annotations

import click

from convergence.entry.cli.commands.demo.all import run_all
from convergence.entry.cli.commands.demo.main_job import USAGE_COST, run_demo
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import not_there
from convergence.entry.cli.session import Session
from convergence.errors import InvalidInput


@click.command("demo", cls=Command)
@click.option("--start", metavar="DATE", help="First day (UTC), also TODAY-n; seven days before today without it.")
@click.option("--end", metavar="DATE", help="Last day (UTC); yesterday without it.")
@click.option("--all", "everything", is_flag=True, help="Every shipped pipeline that can run here, on the sandbox.")
@click.option("--open", "pages", is_flag=True, help="Then serve the dashboard on this machine until Ctrl-C.")
@click.pass_obj
def command(session: Session, start: str | None, end: str | None, everything: bool, pages: bool) -> int:
    """Do the main job once: store a key, load prices, ask for usage and bill, compute cost, write FOCUS rows.

    With OPENAI_ADMIN_KEY in the environment it calls OpenAI; otherwise a local sandbox replays published figures.

    \b
    Example:
      convergence demo
      convergence demo --start 2026-11-01 --end 2026-11-07 --json
      convergence demo --all
      convergence demo --open
    """
    if session.server() is not None:
        not_there("run the demo", "omit --url and --profile: it runs in a data directory of this machine")
    session.check_configs()
    with session.reading() as services:
        if USAGE_COST not in services.catalog.names():
            raise InvalidInput(
                f"the demo runs the shipped pipelines, and {str(session.configs_dir)!r} does not have {USAGE_COST}; "
                "name the configs folder of a clone of Convergence with --configs"
            )
    code = session.go(run_all(session, start, end) if everything else run_demo(session, start, end))
    if pages:
        from convergence.entry.cli.commands.demo.open import open_pages

        open_pages(session, everything=everything)
    return code
