"""`convergence replay`: a failed or cancelled run again, from where it stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import click

from convergence.domain.run import Run
from convergence.domain.step import Applied
from convergence.engine.check_days import check_days
from convergence.engine.dead_letters.act import replay_dead_letter
from convergence.engine.replay import replay
from convergence.engine.services import Services
from convergence.engine.store import DEAD_LETTERS, require_run
from convergence.entry.cli import remote
from convergence.entry.cli.commands.run import later, unheard
from convergence.entry.cli.follow import display, follow
from convergence.entry.cli.options import Command
from convergence.entry.cli.parameters import force_option, parameter_options, read_parameters
from convergence.entry.cli.rows import Rows
from convergence.entry.cli.run_ids import find_run
from convergence.entry.cli.run_report import report_end
from convergence.entry.cli.sandbox import serve
from convergence.entry.cli.session import Session
from convergence.errors import ConfigErrors, InvalidInput, NotFound


@click.command("replay", cls=Command)
@click.argument("name", metavar="RUN|DEAD_LETTER")
@parameter_options
@click.option("--latest", is_flag=True, help="Use the pipeline's current file instead of the pinned plan.")
@click.option("--keep", multiple=True, metavar="STEP", help="Accept what this step wrote with other parameters.")
@click.option("--again", multiple=True, metavar="STEP", help="Let this step write a second time, whatever it wrote.")
@force_option
@click.option("--wait/--no-wait", default=True, help="Without waiting, `convergence resume` does the work later.")
@click.pass_obj
def command(
    session: Session,
    name: str,
    given: Sequence[str],
    variables: Sequence[str],
    files: Sequence[str],
    latest: bool,
    keep: Sequence[str],
    again: Sequence[str],
    force: bool,
    wait: bool,
) -> int:
    """Replay a failed or cancelled RUN, or the run of a DEAD_LETTER. Finished steps are not repeated.

    \b
    Example:
      convergence replay run_5f0c2d9a
      convergence replay run_5f0c2d9a -p end_date=2026-11-07 --latest
      convergence replay run_5f0c2d9a.extract_usage.0
      convergence replay run_5f0c2d9a --keep insert_usage
    """
    words, applied = (given, variables, files), _applied(keep, again)
    server = session.server(writes=True)
    if server is not None:
        return remote.replay(session, server, name, words, latest=latest, applied=applied, wait=wait, force=force)
    return session.go(_replay(session, name, words, latest=latest, applied=applied, wait=wait, force=force))


def _applied(keep: Sequence[str], again: Sequence[str]) -> dict[str, Applied]:
    for step_id in set(keep) & set(again):
        raise InvalidInput(f"--keep {step_id} and --again {step_id} contradict each other; give one of them")
    return {**dict.fromkeys(keep, Applied.KEEP), **dict.fromkeys(again, Applied.AGAIN)}


async def _replay(
    session: Session,
    name: str,
    words: tuple[Sequence[str], ...],
    *,
    latest: bool,
    applied: Mapping[str, Applied],
    wait: bool,
    force: bool,
) -> int:
    rows = Rows()
    with session.reading() as services:
        dead_letter = await _dead_letter(services, name)
        org, run_id = dead_letter or await find_run(services, name)
        old = (await require_run(services, org, run_id)).run
        edited: dict[str, Any] | None = None
        if any(words):
            loaded = services.catalog.get(old.pipeline)
            edited = read_parameters(loaded.path, loaded.pipeline.parameters, *words, ask=False)
        if not force:
            check_days(services, old.pipeline, edited or {})
        if not latest and _has_changed(services, old):
            session.out.note(
                f"warning: the file of {old.pipeline} has changed since this run, and the replay does what the run was "
                f"to do; with the file as it is now: {session.command('replay', name, '--latest')}"
            )
    async with session.writing(f"replay {run_id}", rows) as writer, AsyncExitStack() as stack:
        await serve(session.installation, session.out, [old], stack)
        working = writer if wait else unheard(writer)
        if dead_letter is not None:
            again = await replay_dead_letter(
                working.services, org, name, parameters=edited, latest=latest, applied=applied
            )
        else:
            again = await replay(working.services, org, run_id, parameters=edited, latest=latest, applied=applied)
        if not wait:
            return later(session, again.run_id, again.status.value)
        await writer.worker.start()
        ended = await follow(writer, [again], display(session.out, rows))
        return await report_end(session.out, writer.services, ended, session.command)


def _has_changed(services: Services, run: Run) -> bool:
    """Whether the run's file is another one now; one that is gone or broken is left to the replay itself."""
    try:
        return services.catalog.get(run.pipeline).digest != run.digest
    except (NotFound, ConfigErrors):
        return False


async def _dead_letter(services: Services, name: str) -> tuple[str, str] | None:
    """Return (org, run id) of a dead letter, None when it does not exist."""
    document = None if "/" in name else await services.documents.get(f"{DEAD_LETTERS}/{name}")
    if document is None:
        return None
    if "run_id" not in document.data:
        raise InvalidInput(
            f"the dead letter {name} is a message; send it again with: convergence dead-letters send _all {name}"
        )
    return document.data["org"], document.data["run_id"]
