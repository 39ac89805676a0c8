"""`convergence schema`: the JSON Schema of pipeline files and messages."""

from __future__ import annotations

import click

from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session
from convergence.errors import InvalidInput

FILE = "pipeline.schema.json"


@click.command("schema", cls=Command)
@click.argument("which", type=click.Choice(["pipeline", "dispatch"]), default="pipeline")
@click.option("--write", is_flag=True, help="Write it into the configs folder, where the pipelines name it.")
@click.pass_obj
def command(session: Session, which: str, write: bool) -> int:
    """Print the JSON Schema of pipeline files, from which editors complete, or of the topic `dispatch`.

    \b
    Example:
      convergence schema > pipeline.schema.json
      convergence schema --write
      convergence schema dispatch > docs/dispatch.schema.json
    """
    from convergence.config.model.json_schema import schema_text

    if which == "dispatch":
        from convergence.engine import dispatch_message

        if write:
            raise InvalidInput("only the schema of pipelines has a place in the configs folder; omit --write")
        session.out.line(dispatch_message.schema_text().rstrip("\n"))
        return 0
    if not write:
        session.out.line(schema_text().rstrip("\n"))
        return 0
    session.check_configs()
    file = session.configs_dir / FILE
    file.write_text(schema_text(), "utf-8")
    if session.out.json:
        session.out.data({"file": file})
    else:
        session.out.note(f"wrote {file}")
    return 0
