"""`convergence graph`: a pipeline as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from convergence.config.catalog import Catalog
from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session
from convergence.errors import InvalidInput


@click.command("graph", cls=Command)
@click.argument("pipeline")
@click.option("--format", "kind", type=click.Choice(["svg", "mermaid"]), help="By the file's suffix; svg by default.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write; stdout by default."
)
@click.pass_obj
def command(session: Session, pipeline: str, kind: str | None, output: Path | None) -> int:
    """Draw the steps of PIPELINE.

    \b
    Example:
      convergence graph openai/cost/usage_cost -o usage_cost.svg
      convergence graph openai/cost/usage_cost --format mermaid
    """
    from convergence.entry.graph import mermaid, svg

    session.check_configs()
    loaded = Catalog(session.configs_dir).get(pipeline)
    if kind is None:
        kind = "mermaid" if output is not None and output.suffix in {".mmd", ".mermaid", ".md"} else "svg"
    text = svg(loaded) if kind == "svg" else mermaid(loaded)
    if output is None:
        session.out.line(text.rstrip("\n"))
        return 0
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise InvalidInput(f"{output} cannot be written: {error.strerror}") from error
    session.out.note(f"wrote {output}")
    return 0
