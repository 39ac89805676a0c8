"""`convergence validate`: every mistake in the configs, with file and line."""

from __future__ import annotations

from dataclasses import replace

import click

from convergence.config.catalog import Catalog
from convergence.config.dialects.current_form import current_text
from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session
from convergence.errors import ConfigError, InvalidInput


@click.command("validate", cls=Command)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--explain", is_flag=True, help="Show each pipeline in the current form, as the engine reads it.")
@click.pass_obj
def command(session: Session, paths: tuple[str, ...], explain: bool) -> int:
    """Check files, folders or pipelines by name; without PATH everything below the configs folder.

    \b
    Example:
      convergence validate
      convergence validate openai/cost/usage_cost configs/anthropic
      convergence validate --explain openai/cost/usage_cost
    """
    session.check_configs()
    catalog = Catalog(session.configs_dir)
    if explain:
        return _explain(session, catalog, paths)
    with session.installation.sql_reader(session.place) as reader:
        found = catalog.validate(paths or None, reader=reader)
    report = replace(found, warnings=tuple(map(session.openable, found.warnings)))
    if session.out.json:
        session.out.data(
            {
                "ok": report.ok,
                "checked": {kind.value: count for kind, count in report.checked.items()},
                "problems": [_data(session.openable(problem)) for problem in report.problems],
                "warnings": [_data(warning) for warning in report.warnings],
            }
        )
        return 0 if report.ok else ConfigError.exit_code
    session.out.warnings(report.warnings, session.out.note)
    report.raise_problems()
    counted = ", ".join(f"{count} {kind.named(count)}" for kind, count in sorted(report.checked.items()))
    session.out.line(f"ok  {counted or 'nothing to check there'}")
    return 0


def _explain(session: Session, catalog: Catalog, paths: tuple[str, ...]) -> int:
    if not paths:
        raise InvalidInput("name the file: convergence validate --explain FILE")
    shown = [catalog.at(path) for path in paths]
    if session.out.json:
        session.out.data({loaded.path: loaded.pipeline.model_dump(mode="json") for loaded in shown})
        return 0
    for loaded in shown:
        session.out.line(f"# {loaded.file}")
        session.out.line(current_text(loaded).rstrip("\n"))
    return 0


def _data(problem: ConfigError) -> dict[str, str]:
    return {"where": problem.where, "path": problem.path, "message": problem.message}
