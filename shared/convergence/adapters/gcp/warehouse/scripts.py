"""What of a script is known before it runs: all that it touches, and that its statements resolve.

BigQuery does not enforce our scopes, so SQL that a script makes at run time is refused unless it is a literal: what it
touches cannot be known in advance.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from convergence.adapters.gcp.warehouse.statements import PreparedStatement, Statements
from convergence.adapters.googlesql.scripts import nodes
from convergence.adapters.googlesql.types import SqlType
from convergence.errors import ConvergenceError, Denied, StepFailed
from convergence.ports.warehouse import Parameter, Scope

if TYPE_CHECKING:
    from sqlglot import exp

Find = Callable[[str], Awaitable[nodes.Procedure]]  # by the path of a CALL; see `Routines.nested`


@dataclass(slots=True)
class Reach:
    """What a script touches: (dataset, table), and each statement with its file, place and variables."""

    writes: set[tuple[str, str]] = field(default_factory=set)
    existing: set[tuple[str, str]] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)
    parts: list[tuple[PreparedStatement, str, dict[str, SqlType]]] = field(default_factory=list)
    temporary: set[str] = field(default_factory=set)


class Reader:
    """Goes through a script and all procedures that it calls."""

    def __init__(self, statements: Statements, scope: Scope, find: Find) -> None:
        self._statements, self._scope, self._find = statements, scope, find
        self._seen: set[str] = set()
        self.reach = Reach()

    async def procedure(self, procedure: nodes.Procedure) -> None:
        """Read a procedure, once."""
        if procedure.name in self._seen:
            return
        self._seen.add(procedure.name)
        known = {each.name.lower(): each.type or SqlType("STRING") for each in procedure.arguments}
        await self.body(procedure.body, procedure.source, known)

    async def body(self, body: Sequence[nodes.Node], source: str, known: dict[str, SqlType]) -> None:
        """Read statements; `known` are the variables in scope.

        Raises:
            Denied, StepFailed: the first statement that may not run, with `file:line:column`.
        """
        from convergence.adapters.googlesql.scripts.walk import bodies_of, expressions_of

        for node in body:
            where = f"{source}:{node.at.line}:{node.at.column}"
            try:
                for text in expressions_of(node):
                    self._statement(f"SELECT ({text.sql}\n)", where, known)
                self._own(node, where, known)
            except Denied as error:
                raise Denied(f"{where}: {error}") from error
            except StepFailed as error:
                raise StepFailed(f"{where}: {error}") from error
            if isinstance(node, nodes.Call):
                await self.procedure(await self._find(node.procedure))
            for inner in bodies_of(node):
                await self.body(inner, source, dict(known))

    def _own(self, node: nodes.Node, where: str, known: dict[str, SqlType]) -> None:
        if isinstance(node, nodes.Declare):
            known |= {name.lower(): node.type or SqlType("STRING") for name in node.names}
        elif isinstance(node, nodes.Sql):
            self._statement(node.at.sql, where, known)
        elif isinstance(node, nodes.ForIn):
            self._statement(node.query.sql, where, known)
            known[node.name.lower()] = SqlType("STRUCT")
        elif isinstance(node, nodes.Execute):
            self._statement(_literal(node), where, known)
        elif isinstance(node, nodes.Transaction):
            raise StepFailed("a call is one transaction, and BigQuery does not nest them: remove the statement.")

    def _statement(self, sql: str, where: str, known: dict[str, SqlType]) -> None:
        from sqlglot import exp

        temporary = frozenset(self.reach.temporary)
        statement = self._statements.prepare(sql, self._scope, temporary=temporary)
        touched = statement.touched
        self.reach.writes |= touched.writes
        self.reach.existing |= touched.existing
        self.reach.tables |= set(touched.names)
        self.reach.parts.append((statement, where, dict(known)))
        if isinstance(statement.tree, exp.Create):
            self.reach.temporary |= {name.lower() for dataset, name in touched.writes if not dataset}


def _literal(node: nodes.Execute) -> str:
    from sqlglot import exp

    from convergence.adapters.googlesql.parse import parse_statement

    value = parse_statement(f"SELECT {node.sql.sql}").expressions[0]
    if not isinstance(value, exp.Literal) or not value.is_string:
        raise Denied(
            "EXECUTE IMMEDIATE of SQL that is made at run time cannot be checked before it runs: write it out."
        )
    return str(value.this)


async def rehearse(statements: Statements, scope: Scope, reach: Reach) -> int:
    """Let BigQuery resolve each statement that stands alone; return about how many bytes they read together.

    Variables become typed parameters without a value. Statements on tables that the script itself makes are left out.

    Raises:
        StepFailed: the first statement that cannot run, with `file:line:column`.
    """
    size = 0
    for statement, where, known in reach.parts:
        if any(not dataset for dataset, _ in statement.touched.reads | statement.touched.writes):
            continue
        sql, used = _with_parameters(statement.tree, known)
        config = statements.config(scope, {name: Parameter(str(known[name]), None) for name in used})
        try:
            size += await statements.dry_run(sql, config, statement.touched)
        except ConvergenceError as error:
            raise StepFailed(f"{where}: {error}") from error
    return size


def _with_parameters(tree: exp.Expr, known: dict[str, SqlType]) -> tuple[str, set[str]]:
    """Return the statement with every bare name of a variable as a parameter."""
    from sqlglot import exp

    copy, used = tree.copy(), set()
    for column in list(copy.find_all(exp.Column)):
        name = column.name.lower()
        if not column.table and name in known and isinstance(column.this, exp.Identifier):
            used.add(name)
            column.replace(exp.Parameter(this=exp.Var(this=name)))
    return copy.sql(dialect="bigquery"), used
