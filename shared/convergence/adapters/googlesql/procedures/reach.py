"""What a folded procedure touches, each statement checked against the caller's scope before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlglot import exp

from convergence.adapters.googlesql.access import DEFINITIONS, WRITES, Touched
from convergence.adapters.googlesql.checked import check_statement
from convergence.adapters.googlesql.edits import Edit
from convergence.adapters.googlesql.procedures.folded import Folded
from convergence.adapters.googlesql.procedures.transactions import CLOSED, OPEN, States, Transactions, has_transactions
from convergence.adapters.googlesql.scripts import nodes
from convergence.adapters.googlesql.scripts.walk import bodies_of, expressions_of
from convergence.adapters.googlesql.types import SqlType
from convergence.errors import Denied, StepFailed
from convergence.ports.warehouse import Scope

Types = dict[str, SqlType]
_ROW_COUNT: Final = "row_count"
_BEFORE: Final = "SELECT ("  # what makes an expression a statement


@dataclass(frozen=True, slots=True)
class Place:
    """A statement of a procedure as it is folded for one call."""

    folded: int  # id(Folded): a procedure that is called twice is folded twice
    node: nodes.Node


@dataclass(frozen=True, slots=True)
class Part:
    """A statement or an expression: its tree, its `file:line:column`, and the types of the variables that it may use,
    by name in lower case; None for one whose type is not known before the call."""

    tree: exp.Expr
    touched: Touched
    where: str
    types: dict[str, SqlType | None]


@dataclass(slots=True)
class Reach:
    """What a script touches: (dataset, table), the dataset of a temporary table being ''.

    `by_itself`: it decides itself what is committed, because it has transactions of its own, or DDL that no transaction
    takes. `alone` are then its writes outside of any transaction, `perhaps` those that may be inside of one or not (in
    a handler, mostly), `definitions` its DDL on permanent tables.
    `own_rows` are changes of the texts (of a statement or an expression; of a dynamic statement, by its node) of the
    procedure `id(Folded)`: what lets them read only their org's rows of central tables.
    `end` says whether a transaction may be open when it ends. `changes` are all statements that set `@@row_count`, and
    `counts` says whether it is read.
    """

    writes: set[tuple[str, str]] = field(default_factory=set)
    existing: set[tuple[str, str]] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)
    parts: list[Part] = field(default_factory=list)
    temporary: set[str] = field(default_factory=set)
    by_itself: bool = False
    alone: set[Place] = field(default_factory=set)
    perhaps: set[Place] = field(default_factory=set)
    definitions: set[Place] = field(default_factory=set)
    changes: set[Place] = field(default_factory=set)
    counts: bool = False
    end: States = CLOSED
    own_rows: dict[tuple[int, nodes.Text | nodes.Node], tuple[Edit, ...]] = field(default_factory=dict)

    @property
    def writes_stay(self) -> bool:
        """Whether it writes tables that are not temporary."""
        return any(dataset for dataset, _ in self.writes)


def read_folded(folded: Folded, scope: Scope, *, project: str) -> Reach:
    """Check every statement of a folded script and of all that it calls.

    Raises:
        Denied, StepFailed: the first statement that may not run, with `file:line:column`.
    """
    reader = _Reader(scope, project)
    reader.script(folded, {each.name.lower(): each.type or SqlType("STRING") for each in folded.arguments})
    reach = reader.reach
    reach.by_itself = has_transactions(folded) or bool(reach.definitions)
    if reach.by_itself:
        transactions = Transactions(folded)
        reader.place(transactions)
        reach.end = transactions.end
    return reach


class _Reader:
    def __init__(self, scope: Scope, project: str) -> None:
        self._scope, self._project = scope, project
        self._writes: list[tuple[Folded, nodes.Node]] = []  # on permanent tables
        self._defines: list[tuple[Folded, nodes.Node, str]] = []  # so, with their `file:line:column`
        self._dynamic_counts: list[str] = []
        self.reach = Reach()

    def script(self, folded: Folded, types: Types) -> None:
        self._body(folded, folded.body, types)

    def place(self, transactions: Transactions) -> None:
        """Decide which writes need a transaction of ours. Raises `StepFailed` for what no transaction takes."""
        for where in self._dynamic_counts:
            raise StepFailed(f"{where}: read @@row_count into a variable and pass it with USING.")
        for folded, node in self._writes:
            states = transactions.at(folded, node)
            if states == CLOSED:
                self.reach.alone.add(Place(id(folded), node))
            elif states == CLOSED | OPEN:
                self.reach.perhaps.add(Place(id(folded), node))
        for folded, node, where in self._defines:
            if transactions.at(folded, node) & OPEN:
                raise StepFailed(
                    f"{where}: a transaction takes DDL on temporary tables only: move it before or"
                    " after the transaction."
                )

    def _body(self, folded: Folded, body: Sequence[nodes.Node], types: Types) -> None:
        for node in body:
            where = f"{folded.source}:{node.at.line}:{node.at.column}"
            try:
                for text in expressions_of(node):
                    part = self._statement(f"{_BEFORE}{text.sql}\n)", where, dict(types))
                    own_rows = tuple(edit.moved(-len(_BEFORE)) for edit in part.touched.own_rows)
                    self.reach.own_rows[id(folded), text] = own_rows
                self._own(folded, node, where, types)
            except Denied as error:
                raise Denied(f"{where}: {error}") from error
            except StepFailed as error:
                raise StepFailed(f"{where}: {error}") from error
            if isinstance(node, nodes.Call):
                callee = folded.calls[node]
                self.script(callee, {each.name.lower(): each.type or SqlType("STRING") for each in callee.arguments})
            for inner in bodies_of(node):
                self._body(folded, inner, dict(types))

    def _own(self, folded: Folded, node: nodes.Node, where: str, types: Types) -> None:
        if isinstance(node, nodes.Declare):
            types |= {name.lower(): node.type or SqlType("STRING") for name in node.names}
        elif isinstance(node, nodes.Sql):
            part = self._statement(node.at.sql, where, dict(types))
            self.reach.own_rows[id(folded), node.at] = part.touched.own_rows
            self._note(folded, node, where, part)
        elif isinstance(node, nodes.ForIn):
            part = self._statement(node.query.sql, where, dict(types))
            self.reach.own_rows[id(folded), node.query] = part.touched.own_rows
            types[node.name.lower()] = SqlType("STRUCT")
        elif isinstance(node, nodes.Execute):
            sql = folded.texts[node]
            if sql is not None:
                used = {name.lower(): types.get(value.sql.lower()) for name, value in node.using}
                part = self._statement(sql, where, dict(used))
                if _reads_row_count(part.tree):
                    self._dynamic_counts.append(where)
                self.reach.own_rows[id(folded), node] = part.touched.own_rows
                self._note(folded, node, where, part)

    def _note(self, folded: Folded, node: nodes.Node, where: str, part: Part) -> None:
        place, permanent = Place(id(folded), node), any(dataset for dataset, _ in part.touched.writes)
        if isinstance(part.tree, WRITES):
            self.reach.changes.add(place)
            if permanent:
                self._writes.append((folded, node))
        if isinstance(part.tree, DEFINITIONS) and permanent:
            self.reach.definitions.add(place)
            self._defines.append((folded, node, where))

    def _statement(self, sql: str, where: str, types: dict[str, SqlType | None]) -> Part:
        temporary = frozenset(self.reach.temporary)
        tree, touched = check_statement(sql, self._scope, project=self._project, temporary=temporary)
        self.reach.writes |= touched.writes
        self.reach.existing |= touched.existing
        self.reach.tables |= set(touched.names)
        self.reach.counts |= _reads_row_count(tree)
        part = Part(tree, touched, where, types)
        self.reach.parts.append(part)
        if isinstance(tree, exp.Create):
            self.reach.temporary |= {name.lower() for dataset, name in touched.writes if not dataset}
        return part


def _reads_row_count(tree: exp.Expr) -> bool:
    return any(
        isinstance(node.this, exp.Parameter) and node.this.name.lower() == _ROW_COUNT
        for node in tree.find_all(exp.Parameter)
    )
