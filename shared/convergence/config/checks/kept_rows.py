"""Where rows of statements go: nowhere, or to a destination that gets none."""

from __future__ import annotations

from typing import Final

from convergence.config.checks.step_sql import loads_rows, texts
from convergence.config.loader import LoadedPipeline
from convergence.config.processors import ps_types
from convergence.config.sql.kinds import asserts, kind_of_statement
from convergence.errors import ConfigError

_CHANGES: Final = "the statement changes tables itself and returns no rows: "


def check_rows(loaded: LoadedPipeline) -> tuple[list[ConfigError], list[ConfigError]]:
    """Return mistakes and warnings: a change returns no rows for a destination, and the rows of a query without one are
    not stored. A query that asserts, or whose result a step reads, is still useful.
    """
    mistakes, warnings = [], []
    read = {name for step in loaded.prepared.steps for name in step.fixed["needs"] if name not in step.step.depends_on}
    named = {use.name.split(".")[1] for use in loaded.prepared.uses if use.name.startswith("results.")}
    conditions = " ".join(step.when or "" for step in loaded.pipeline.steps)
    for index, step in enumerate(loaded.pipeline.steps):
        if step.enabled is False or not loads_rows(step.ps_type) or (step.config or {}).get("dry_run"):
            continue
        used = step.step_id in read | named or f"results.{step.step_id}." in conditions
        optional = getattr(ps_types.load(step.ps_type), "destination_optional", False)
        for at, text in texts(step, index):
            kind = kind_of_statement(text)
            if kind == "change" and step.destination:
                cure = "remove `destination`" if optional else "write a SELECT, or run it by generic.bq_execute"
                mistakes.append(loaded.positions.problem(("steps", index, "destination"), _CHANGES + cure))
            elif kind == "query" and not step.destination and optional and not used and not asserts(text):
                message = "the rows of this query are not stored: set `destination: {table: …}`, or remove the step"
                warnings.append(loaded.positions.problem(at, message))
    return mistakes, warnings
