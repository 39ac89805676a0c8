"""A dry run of a procedure: every statement is prepared against the catalogue, in order, and none is run.

Tables that the procedure itself creates are made empty, in a transaction that the caller rolls back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from convergence.adapters.googlesql.procedures.folded import Folded
from convergence.adapters.googlesql.scripts import nodes
from convergence.adapters.googlesql.scripts.nodes import Text
from convergence.adapters.googlesql.scripts.walk import bodies_of, expressions_of
from convergence.adapters.googlesql.types import SqlType
from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.duckdb_sql.script_errors import Frame, ScriptError
from convergence.adapters.local.duckdb_sql.variables import Variables
from convergence.errors import ConvergenceError

if TYPE_CHECKING:
    from convergence.adapters.local.duckdb_sql.context import StatementContext
    from convergence.adapters.local.duckdb_sql.translate import Translation
    from convergence.adapters.local.warehouse.job import Job
    from convergence.adapters.local.warehouse.statements import Statements


class Rehearsal:
    """`tables` and `size` (bytes) are what the statements seen so far touch and read."""

    def __init__(self, job: Job, statements: Statements, context: StatementContext) -> None:
        self._job, self._statements = job, statements
        self._context = replace(context, in_script=True)
        self._variables = Variables()
        self._folded = Folded("", ())
        self._seen: set[str] = set()
        self._dropped: set[tuple[str, str]] = set()  # taken away when a CREATE needs the name: a DROP may be in an IF
        self.tables: set[str] = set()
        self.size = 0

    def procedure(self, procedure: Folded, types: Mapping[str, SqlType]) -> None:
        """Go through a procedure and those that it calls, each once.

        Raises:
            ScriptError: the first statement that cannot run, with its place.
        """
        if procedure.name in self._seen:
            return
        self._seen.add(procedure.name)
        outer = self._variables, self._folded
        self._variables, self._folded = Variables(), procedure
        try:
            for argument in procedure.arguments:
                kind = argument.type or types.get(argument.name.lower(), SqlType("STRING"))
                self._variables.declare(argument.name, kind, None)
            self._body(procedure.body)
        finally:
            self._variables, self._folded = outer

    def script(self, script: Folded) -> None:
        """Go through a script. Raises `ScriptError` like `procedure`."""
        self._folded = script
        self._body(script.body)

    def _body(self, body: Sequence[nodes.Node]) -> None:
        for node in body:
            self._job.check()
            try:
                self._node(node)
            except ScriptError:
                raise
            except ConvergenceError as error:
                raise ScriptError(str(error), (Frame(self._folded.source, node.at),)) from error

    def _node(self, node: nodes.Node) -> None:
        for text in expressions_of(node):
            if not isinstance(node, nodes.Assign):  # SET (a, b) = (1, 2) is not a single expression
                self._prepare(f"SELECT ({text.sql}\n)")
        if isinstance(node, nodes.Sql):
            self._sql(node.at)
        elif isinstance(node, nodes.Declare):
            kind = node.type or self._type_of(node.default)
            for name in node.names:
                self._variables.declare(name, kind, None)
        elif isinstance(node, nodes.Call):
            self.procedure(self._folded.calls[node], {})
        elif isinstance(node, nodes.Execute):
            self._execute(node)
        elif isinstance(node, nodes.ForIn):
            with self._variables.block():
                self._variables.declare(node.name, SqlType("STRUCT", self._columns_of(node.query)), None)
                self._body(node.body)
        elif isinstance(node, nodes.Block) and node.handler is not None and not _raises(node.handler):
            with suppress(ScriptError), self._variables.block():  # a run continues in the handler, and so does this
                self._body(node.body)
            with self._variables.block():
                self._body(node.handler)
        else:
            for place, body in enumerate(bodies_of(node)):
                if isinstance(node, nodes.If) and (node, place) in self._folded.untaken:
                    continue  # its dynamic SQL is often right for another argument only
                with self._variables.block():
                    self._body(body)

    def _sql(self, text: Text, context: StatementContext | None = None) -> None:
        translation = self._prepare(text.sql, context)
        if translation.drops:
            self._dropped |= translation.touched.writes
        if translation.creates is None:
            return
        if translation.creates in self._dropped:
            self._drop(translation.creates)
            self._dropped.remove(translation.creates)
        self._statements.define_empty(self._job, translation)
        if translation.temporary:
            self._context = replace(self._context, temporary=self._context.temporary | {translation.temporary})

    def _drop(self, table: tuple[str, str]) -> None:
        dataset, name = table
        self._job.execute(f"DROP TABLE IF EXISTS {duckdb_name(dataset or 'temp', name)}")
        self._job.has_defined = True

    def _execute(self, node: nodes.Execute) -> None:
        sql = self._folded.texts[node]
        if sql is not None:
            used = [(name.lower(), self._type_of(value)) for name, value in node.using]
            named = tuple((name, kind) for name, kind in used if name)
            positional = tuple(kind for name, kind in used if not name)
            self._sql(replace(node.at, sql=sql), replace(self._context, parameters=named, positional=positional))

    def _prepare(self, sql: str, context: StatementContext | None = None) -> Translation:
        if context is None:
            visible = self._variables.visible()
            context = replace(self._context, variables=tuple((name, each.type) for name, each in visible.items()))
        translation = self._statements.prepare(self._job, sql, context)
        self._statements.explain(self._job, translation, dict.fromkeys(translation.parameters))
        self.tables |= set(translation.touched.names)
        self.size += self._statements.estimate_bytes(self._job, translation)
        return translation

    def _type_of(self, default: Text | None) -> SqlType:
        assert default is not None, "the parser asks for a type or a default"
        return self._columns_of(replace(default, sql=f"SELECT ({default.sql}\n)"))[0][1]

    def _columns_of(self, query: Text) -> tuple[tuple[str, SqlType], ...]:
        translation = self._prepare(query.sql)
        return self._statements.describe(self._job, translation, dict.fromkeys(translation.parameters))


def _raises(body: Sequence[nodes.Node]) -> bool:
    return any(isinstance(node, nodes.Raise) or any(map(_raises, bodies_of(node))) for node in body)
