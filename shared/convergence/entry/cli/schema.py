"""`convergence schema`: the JSON Schema of pipeline files."""

from __future__ import annotations

import click

from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session

FILE = "pipeline.schema.json"


@click.command("schema", cls=Command)
@click.option("--write", is_flag=True, help="Write it into the configs folder, where the pipelines name it.")
@click.pass_obj
def command(session: Session, write: bool) -> int:
    """Print the JSON Schema of pipeline files; editors complete from it.

    \b
    Example:
      convergence schema > pipeline.schema.json
      convergence schema --write
    """
    from convergence.config.schema import schema_text

    if not write:
        session.out.line(schema_text().rstrip("\n"))
        return 0
    session.check_configs()
    file = session.configs_dir / FILE
    file.write_text(schema_text(), "utf-8")
    session.out.note(f"wrote {file}")
    return 0
