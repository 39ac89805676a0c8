"""`convergence restore`: make a data directory of a backup."""

from __future__ import annotations

from pathlib import Path

import click

from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session


@click.command("restore", cls=Command)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.pass_obj
def command(session: Session, folder: Path) -> int:
    """Copy the backup FOLDER into the data directory, which must be new or empty.

    Runs that were under way when the backup was made are finished by `convergence resume` or `serve`.

    \b
    Example:
      convergence restore /backups/2026-11-29 --data-dir .convergence
    """
    manifest = session.installation.restore(session.place, folder)
    if session.out.json:
        session.out.data({"data_dir": str(session.data_dir), **manifest})
    else:
        session.out.line(f"restored the backup of {manifest['made_at']} into {session.data_dir}")
    session.remind()
    return 0
