"""Where in a folded procedure a transaction is open: the placement of our own statements depends on it.

A transaction that an error leaves open stays open in the handler, as BigQuery documents it ("Multi-statement
transactions", error handling).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from convergence.adapters.googlesql.procedures.folded import Folded
from convergence.adapters.googlesql.scripts import nodes
from convergence.adapters.googlesql.scripts.walk import bodies_of
from convergence.errors import StepFailed

States = frozenset[bool]  # whether a transaction is open, on all paths to a statement; empty if it is unreachable
CLOSED: Final[States] = frozenset({False})
OPEN: Final[States] = frozenset({True})


class _Flow(NamedTuple):
    """`end`: the states after a statement. `failing`: those in which an error may be raised. `all`: those inside."""

    end: States
    failing: States = frozenset()
    all: States = frozenset()


def has_transactions(folded: Folded) -> bool:
    """Return whether a procedure, or one that it calls, begins, commits or rolls back transactions."""
    return _any_transaction(folded.body) or any(has_transactions(each) for each in folded.calls.values())


def _any_transaction(body: Sequence[nodes.Node]) -> bool:
    return any(
        isinstance(node, nodes.Transaction) or any(_any_transaction(inner) for inner in bodies_of(node))
        for node in body
    )


def returns(body: Sequence[nodes.Node]) -> bool:
    """Return whether a procedure has a RETURN anywhere."""
    return any(
        (isinstance(node, nodes.Jump) and node.label is None) or any(returns(inner) for inner in bodies_of(node))
        for node in body
    )


class Transactions:
    """The states of a procedure and of all that it calls, before each statement.

    Raises:
        StepFailed: a BEGIN inside of a transaction, or a COMMIT or ROLLBACK without one, with `file:line:column`.
    """

    def __init__(self, folded: Folded) -> None:
        self._states: dict[tuple[int, nodes.Node], States] = {}
        self._folded = [folded]
        flow = self._body(folded.body, CLOSED)
        self.end: States = flow.end | flow.all if returns(folded.body) else flow.end

    def at(self, folded: Folded, node: nodes.Node) -> States:
        """Return the states before a statement of this procedure, as it is folded for one call."""
        return self._states.get((id(folded), node), frozenset())

    def _body(self, body: Sequence[nodes.Node], states: States) -> _Flow:
        failing: States = frozenset()
        inside = states
        for node in body:
            key = (id(self._folded[-1]), node)
            self._states[key] = self._states.get(key, frozenset()) | states
            flow = self._node(node, states)
            states = flow.end
            failing |= flow.failing
            inside |= flow.all | states
        return _Flow(states, failing, inside)

    def _node(self, node: nodes.Node, states: States) -> _Flow:
        if isinstance(node, nodes.Transaction):
            return self._transaction(node, states)
        if isinstance(node, nodes.Raise):
            return _Flow(frozenset(), states, states)
        if isinstance(node, nodes.Jump):
            return _Flow(frozenset(), frozenset(), states)
        if isinstance(node, nodes.If):
            ways = [self._body(body, states) for body in bodies_of(node)]
            return _together(ways, failing=states)
        if isinstance(node, nodes.Loop | nodes.ForIn):
            return self._loop(node, states)
        if isinstance(node, nodes.Block):
            return self._block(node, states)
        if isinstance(node, nodes.Call):
            self._folded.append(self._folded[-1].calls[node])
            flow = self._body(self._folded[-1].body, states)
            end = flow.end | flow.all if returns(self._folded.pop().body) else flow.end
            return _Flow(end, flow.failing | states, flow.all)
        return _Flow(states, states, states)

    def _transaction(self, node: nodes.Transaction, states: States) -> _Flow:
        place = f"{self._folded[-1].source}:{node.at.line}:{node.at.column}"
        if node.action == "BEGIN":
            if states == OPEN:
                raise StepFailed(f"{place}: BEGIN TRANSACTION inside a transaction: COMMIT or ROLLBACK first.")
            return _Flow(OPEN, states & OPEN, states | OPEN)
        if states == CLOSED:
            raise StepFailed(f"{place}: {node.action} TRANSACTION without a transaction.")
        return _Flow(CLOSED if states else states, states, states)

    def _loop(self, node: nodes.Loop | nodes.ForIn, states: States) -> _Flow:
        """An iteration may begin and end in any state that one can leave behind."""
        inside = states
        while True:
            flow = self._body(node.body, inside)
            if flow.all <= inside:
                return _Flow(inside, flow.failing | inside, inside)
            inside |= flow.all

    def _block(self, node: nodes.Block, states: States) -> _Flow:
        flow = self._body(node.body, states)
        if node.label:
            flow = flow._replace(end=flow.end | flow.all)  # LEAVE comes from anywhere inside
        if node.handler is None:
            return flow
        handled = self._body(node.handler, flow.failing)
        return _Flow(flow.end | handled.end, handled.failing, flow.all | handled.all)


def _together(ways: Sequence[_Flow], *, failing: States) -> _Flow:
    end, inside = frozenset[bool](), frozenset[bool]()
    for way in ways:
        end, failing, inside = end | way.end, failing | way.failing, inside | way.all
    return _Flow(end, failing, inside)
