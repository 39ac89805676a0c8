"""What can be checked before a procedure runs: every statement parses, and every construct can run here."""

from __future__ import annotations

from collections.abc import Sequence

from convergence.adapters.googlesql.access import refuse_kind
from convergence.adapters.googlesql.functions import refuse_unknown
from convergence.adapters.googlesql.parse import parse_statement
from convergence.adapters.googlesql.refusal import refusing
from convergence.adapters.googlesql.scripts import nodes
from convergence.adapters.googlesql.scripts.walk import texts_of
from convergence.adapters.local.duckdb_sql.rules.table import apply_rules
from convergence.adapters.local.duckdb_sql.shape import shape
from convergence.errors import ConfigError, StepFailed


@refusing
def check_statement(sql: str) -> None:
    """Raise `StepFailed` for what cannot run with any tables."""
    tree = parse_statement(sql)
    refuse_kind(tree)
    refuse_unknown(tree)
    apply_rules(shape(tree))  # without types: for the constructs that a rule refuses by name


def check_procedure(procedure: nodes.Procedure) -> list[ConfigError]:
    """Return what cannot run, each with `file:line:column`."""
    return check_script(procedure.body, procedure.source)


def check_script(body: Sequence[nodes.Node], source: str) -> list[ConfigError]:
    """Return what of a script cannot run, each with `file:line:column`."""
    problems: list[ConfigError] = []
    for text, is_expression in texts_of(body):
        sql = f"SELECT ({text.sql}\n)" if is_expression else text.sql
        try:
            check_statement(sql)
        except StepFailed as error:
            problems.append(ConfigError(str(error), where=f"{source}:{text.line}:{text.column}"))
    return problems
