"""`convergence graph`: a pipeline as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from convergence.config.catalog import Catalog
from convergence.config.loader import LoadedPipeline
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
      convergence graph openai/cost/usage_cost --json
    """
    from convergence.entry.graph import mermaid, svg

    session.check_configs()
    loaded = Catalog(session.configs_dir).get(pipeline)
    if kind is None:
        kind = "mermaid" if output is not None and output.suffix in {".mmd", ".mermaid", ".md"} else "svg"
    text = svg(loaded) if kind == "svg" else mermaid(loaded)
    if output is not None:
        try:
            output.write_text(text, "utf-8")
        except OSError as error:
            raise InvalidInput(f"{output} cannot be written: {error.strerror}") from error
        session.out.note(f"wrote {output}")
    if session.out.json:
        session.out.data({**_data(loaded), "format": kind, **({"graph": text} if output is None else {"file": output})})
    elif output is None:
        session.out.line(text.rstrip("\n"))
    return 0


def _data(loaded: LoadedPipeline) -> dict[str, Any]:
    """Return the graph itself: each step with those that it waits for."""
    steps = [
        {"step_id": step.step_id, "ps_type": step.ps_type, "depends_on": list(step.depends_on), "trigger": step.trigger}
        for step in loaded.pipeline.steps
    ]
    return {"pipeline": loaded.path, "steps": steps}
