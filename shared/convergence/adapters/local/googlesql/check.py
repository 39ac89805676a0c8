"""What of a procedure can be known before it runs: every statement parses, every construct is one that runs here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convergence.adapters.local.googlesql import script_nodes as nodes
from convergence.adapters.local.googlesql.access import refuse_kind
from convergence.adapters.local.googlesql.functions import refuse_unknown
from convergence.adapters.local.googlesql.rules import apply_rules
from convergence.adapters.local.googlesql.script_nodes import Text
from convergence.adapters.local.googlesql.shape import shape
from convergence.adapters.local.googlesql.translate import parse_statement
from convergence.errors import ConfigError, StepFailed


def check_procedure(procedure: nodes.Procedure) -> list[ConfigError]:
    """Return what cannot run, each with `file:line:column`."""
    problems: list[ConfigError] = []
    for text, is_expression in _texts(procedure.body):
        sql = f"SELECT ({text.sql}\n)" if is_expression else text.sql
        try:
            tree = parse_statement(sql)
            refuse_kind(tree)
            refuse_unknown(tree)
            apply_rules(shape(tree))  # without types: for the constructs that a rule refuses by name
        except StepFailed as error:
            problems.append(ConfigError(str(error), where=f"{procedure.source}:{text.line}:{text.column}"))
    return problems


def _texts(body: Sequence[nodes.Node]) -> Iterator[tuple[Text, bool]]:
    """Yield every piece of SQL, and whether it is an expression."""
    for node in body:
        if isinstance(node, nodes.Sql):
            yield node.at, False
        elif isinstance(node, nodes.ForIn):
            yield node.query, False
        for text in expressions_of(node):
            yield text, True
        for inner in bodies_of(node):
            yield from _texts(inner)


def expressions_of(node: nodes.Node) -> list[Text]:
    """Return the expressions that a statement evaluates itself; those inside of its bodies are not among them."""
    found: list[Text | None] = []
    if isinstance(node, nodes.Declare):
        found = [node.default]
    elif isinstance(node, nodes.Assign):
        found = [node.value]
    elif isinstance(node, nodes.If):
        found = [node.subject, *(branch.condition for branch in node.branches)]
    elif isinstance(node, nodes.Loop):
        found = [node.condition, node.until]
    elif isinstance(node, nodes.Raise):
        found = [node.message]
    elif isinstance(node, nodes.Assert):
        found = [node.condition]
    elif isinstance(node, nodes.Call):
        found = list(node.arguments)
    elif isinstance(node, nodes.Execute):
        found = [node.sql, *(value for _, value in node.using)]
    return [text for text in found if text is not None]


def bodies_of(node: nodes.Node) -> list[Sequence[nodes.Node]]:
    """Return the statements inside of a statement, one entry for each branch."""
    if isinstance(node, nodes.If):
        return [*(branch.body for branch in node.branches), node.otherwise]
    if isinstance(node, nodes.Loop | nodes.ForIn):
        return [node.body]
    if isinstance(node, nodes.Block):
        return [node.body, node.handler or ()]
    return []
