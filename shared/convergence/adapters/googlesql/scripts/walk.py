"""A script's statements one by one, whatever they are nested in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convergence.adapters.googlesql.scripts import nodes
from convergence.adapters.googlesql.scripts.nodes import Text


def texts_of(body: Sequence[nodes.Node]) -> Iterator[tuple[Text, bool]]:
    """Yield every piece of SQL, and whether it is an expression."""
    for node in body:
        if isinstance(node, nodes.Sql):
            yield node.at, False
        elif isinstance(node, nodes.ForIn):
            yield node.query, False
        for text in expressions_of(node):
            yield text, True
        for inner in bodies_of(node):
            yield from texts_of(inner)


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


def calls_of(body: Sequence[nodes.Node]) -> Iterator[nodes.Call]:
    """Yield every CALL."""
    for node in body:
        if isinstance(node, nodes.Call):
            yield node
        for inner in bodies_of(node):
            yield from calls_of(inner)
