"""`convergence migrate`: run the pending migrations of every org's dataset."""

from __future__ import annotations

import click

from convergence.engine.migrate import ORGS_AT_ONCE, migrate_all
from convergence.entry.cli.all_orgs import pages
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session


@click.command("migrate", cls=Command)
@click.argument("up_to", metavar="[NAME]", required=False)
@click.option("--dry-run", is_flag=True, help="Only list what would run, and check the first script.")
@click.pass_obj
def command(session: Session, up_to: str | None, dry_run: bool) -> int:
    """Run the pending migrations of every org's dataset: all, or up to NAME.

    \b
    Example:
      convergence migrate --dry-run
    """

    async def work() -> dict[str, list[str]]:
        session.check_configs()
        async with session.writing("migrate") as writer:
            return await migrate_all(writer.services, up_to, dry_run=dry_run)

    server = session.server(writes=True)
    if server is None:
        done = session.go(work())
    else:
        path = "/migrations/execute" if up_to is None else f"/migrations/{quoted(up_to)}/execute"
        asked = {"dry_run": "true" if dry_run else "false", "limit": str(ORGS_AT_ONCE)}
        done = {}
        for page in pages(server, path, asked, orgs=lambda page: len(page["migrated"]), out=session.out):
            done |= page["migrated"]
    if session.out.json:
        session.out.data({"dry_run": dry_run, "migrated": done})
        return 0
    lines = [f"{dataset}  {name}" for dataset, names in done.items() for name in names]
    session.out.line("\n".join(lines) or "nothing to migrate")
    return 0
