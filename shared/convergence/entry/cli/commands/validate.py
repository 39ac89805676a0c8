"""`convergence validate`: every mistake in the configs, with file and line."""

from __future__ import annotations

import click

from convergence.config.catalog import Catalog
from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session
from convergence.errors import ConfigError


@click.command("validate", cls=Command)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.pass_obj
def command(session: Session, paths: tuple[str, ...]) -> int:
    """Check files, folders or pipelines by name; without PATH everything below the configs folder.

    \b
    Example:
      convergence validate
      convergence validate openai/cost/usage_cost configs/anthropic
    """
    session.check_configs()
    report = Catalog(session.configs_dir).validate(paths or None)
    if session.out.json:
        session.out.data(
            {
                "ok": report.ok,
                "checked": {kind.value: count for kind, count in report.checked.items()},
                "problems": [_data(problem) for problem in report.problems],
                "warnings": [_data(warning) for warning in report.warnings],
            }
        )
        return 0 if report.ok else ConfigError.exit_code
    for warning in report.warnings:
        session.out.note(f"warning: {warning}")
    report.raise_problems()
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(report.checked.items()))
    session.out.line(f"ok  {counted or 'nothing to check there'}")
    return 0


def _data(problem: ConfigError) -> dict[str, str]:
    return {"where": problem.where, "path": problem.path, "message": problem.message}
