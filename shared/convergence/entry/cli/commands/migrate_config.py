"""`convergence migrate-config`: an older pipeline file, rewritten in the current form."""

from __future__ import annotations

import os

import click

from convergence.config.catalog import Catalog
from convergence.config.dialects.current_form import migrated_text
from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session


@click.command("migrate-config", cls=Command)
@click.argument("file")
@click.option("--print", "shown", is_flag=True, help="Print the new text, and leave the file as it is.")
@click.pass_obj
def command(session: Session, file: str, shown: bool) -> int:
    """Rewrite a pipeline's FILE in the current form. It means the same as before, and its comments are kept.

    A comment beside a key moves above it. Anchors and merged keys are written out.

    \b
    Example:
      convergence migrate-config configs/openai/cost/usage_cost.yml
    """
    session.check_configs()
    loaded = Catalog(session.configs_dir).at(file)
    path = session.configs_dir / loaded.file
    text = migrated_text(loaded, path.read_text(encoding="utf-8-sig"))
    if shown and session.out.json:
        session.out.data({"file": loaded.file, "pipeline": loaded.path, "text": text})
        return 0
    if shown:
        session.out.line(text.rstrip("\n"))
        return 0
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)  # noqa: PTH105 - one step: a crash leaves the old file or the new one
    if session.out.json:
        session.out.data({"file": loaded.file, "pipeline": loaded.path})
    else:
        session.out.line(f"rewrote {loaded.file}")
    return 0
