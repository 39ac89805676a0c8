"""`convergence backup`: copy the data directory, also while it is in use."""

from __future__ import annotations

from pathlib import Path

import click

from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session


@click.command("backup", cls=Command)
@click.argument("folder", type=click.Path(path_type=Path))
@click.pass_obj
def command(session: Session, folder: Path) -> int:
    """Copy state, warehouse and key file into FOLDER, which must be new or empty. `serve` and runs may go on.

    The copy has the key that opens credentials: keep it as secret as the data directory.

    \b
    Example:
      convergence backup /backups/2026-11-29
    """
    manifest = session.installation.backup(session.place, folder)
    if session.out.json:
        session.out.data({"folder": str(folder), **manifest})
    else:
        session.out.line(f"backed up {len(manifest['files'])} files into {folder}, as of {manifest['made_at']}")
    return 0
