"""`convergence doctor`: is this installation in order?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from convergence.engine.doctor import answer, examine
from convergence.entry.cli.installation import DeploymentPlace
from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session


@click.command("doctor", cls=Command)
@click.option("--project", help="Compare this Google Cloud project with what the code declares; changes nothing.")
@click.option("--region", default="us-central1", show_default=True, help="With --project: region of the functions.")
@click.option("--kms-location", default="us", show_default=True, help="With --project: location of the key ring.")
@click.option("--database", default="(default)", show_default=True, help="With --project: Firestore's database.")
@click.option(
    "--functions",
    type=click.Path(path_type=Path, file_okay=False),
    default="functions",
    show_default=True,
    help="With --project: folder with the functions that were deployed.",
)
@click.pass_obj
def command(
    session: Session, project: str | None, region: str, kms_location: str, database: str, functions: Path
) -> int:
    """Check store, keyring, procedures, migrations, schemas, schedules, reconciler, retention and files of orgs; exit 1
    for a fault.

    On a server (`--url`, with the operator's key) the deployment examines itself. With `--project` this machine asks
    Google Cloud instead, as the person who is signed in: clock, permissions of each function, the project's own roles,
    shared datasets, subscriptions and their dead letters, indexes, the key, functions and their release, ticks.

    \b
    Example:
      convergence doctor --url https://convergence.example
      convergence doctor --project my-project
    """
    if project is not None:
        place = DeploymentPlace(
            project=project, region=region, kms_location=kms_location, database=database, functions=functions
        )
        return _show(session, answer(session.go(session.installation.examine_deployment(place))))

    async def work() -> Any:
        session.check_configs()
        async with session.writing("doctor") as writer:
            return answer(await examine(writer.services))

    server = session.server(writes=True)
    return _show(session, session.go(work()) if server is None else server.get("/doctor", root=True))


def _show(session: Session, found: dict[str, Any]) -> int:
    if session.out.json:
        session.out.data(found)
    else:
        rows = [(each["check"], _verdict(each), each["found"]) for each in found["findings"]]
        session.out.table(("check", "", "found"), rows)
        for each in found["findings"]:
            if each["cure"]:
                session.out.note(f"{each['check']}: {each['cure']}")
    return 0 if found["healthy"] else 1


def _verdict(finding: dict[str, Any]) -> str:
    if not finding["cure"]:
        return "ok"
    return "warning" if finding["warning"] else "fault"
