"""Runs scripts: walks the tree of statements; `execution` executes each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from convergence.adapters.googlesql.scripts import nodes
from convergence.adapters.googlesql.scripts.parser import parse_script
from convergence.adapters.googlesql.types import SqlType
from convergence.adapters.local.duckdb_sql.execution import ROWS_MAX, Execution, Scope
from convergence.adapters.local.duckdb_sql.script_errors import Iterate, Leave, Return, ScriptError
from convergence.adapters.local.duckdb_sql.translate import row_query
from convergence.adapters.local.duckdb_sql.variables import Variable, Variables, as_value
from convergence.errors import StepFailed

if TYPE_CHECKING:
    from convergence.adapters.local.duckdb_sql.context import StatementContext
    from convergence.adapters.local.warehouse.job import Job
    from convergence.adapters.local.warehouse.statements import Statements

DEPTH_MAX: Final = 50  # BigQuery, quotas: procedural language, nesting

FindProcedure = Callable[[str], nodes.Procedure]


class Interpreter:
    """One call, from its first statement to its last. Not reusable.

    `context` holds for every statement; `find` returns a procedure by the path that CALL names; `complete`
    makes the commits of a procedure that decides itself what is committed (`undo`).
    """

    def __init__(
        self,
        job: Job,
        statements: Statements,
        context: StatementContext,
        find: FindProcedure,
        system: Mapping[str, Any],
        complete: Callable[[], None] | None = None,
    ) -> None:
        self.execution = Execution(job, statements, context, system, complete)
        self._find = find
        self._errors: list[ScriptError] = []

    # -- scripts and procedures ---------------------------------------------------------------------------------

    def run_script(self, body: Sequence[nodes.Node], source: str) -> None:
        """Run a script's statements. Raises `ScriptError`, `Transient` when cancelled."""
        self._run_body(body, Scope(source, Variables()))
        self.execution.undo.close()

    def run_procedure(self, procedure: nodes.Procedure, arguments: Mapping[str, Variable]) -> Variables:
        """Run a procedure; return its variables, for OUT arguments."""
        variables = self._enter(procedure, arguments)
        self.execution.undo.close()
        return variables

    def _enter(self, procedure: nodes.Procedure, arguments: Mapping[str, Variable]) -> Variables:
        if len(self.execution.scopes) >= DEPTH_MAX:
            raise StepFailed(f"CALL is nested deeper than {DEPTH_MAX}.")
        variables = Variables()
        for argument in procedure.arguments:
            given = arguments[argument.name.lower()]
            kind = argument.type or given.type
            value = given.value if argument.type is None or given.value is None else self.execution.cast(given, kind)
            variables.declare(argument.name, kind, None if argument.mode == "OUT" else value)
        self._run_body(procedure.body, Scope(procedure.source, variables))
        return variables

    def _run_body(self, body: Sequence[nodes.Node], scope: Scope) -> None:
        self.execution.scopes.append(scope)
        try:
            self._run(body)
        except Return:
            pass
        except (Leave, Iterate) as jump:
            raise StepFailed(f"No loop or block is called {jump.label!r}.") from jump
        finally:
            self.execution.scopes.pop()

    def _run(self, body: Sequence[nodes.Node]) -> None:
        for node in body:
            self.execution.job.check()
            with self.execution.at(node.at):
                self._RUNNERS[type(node)](self, node)

    # -- statements -----------------------------------------------------------------------------------------------

    def _sql(self, node: nodes.Sql) -> None:
        self.execution.statement(node.at.sql, self.execution.surroundings(), self.execution.values())

    def _declare(self, node: nodes.Declare) -> None:
        kind, value = node.type, None
        if node.default is not None:
            default = self.execution.evaluate(node.default, node.type)
            kind, value = default.type, default.value
        assert kind is not None, "the parser asks for a type or a default"
        for name in node.names:
            self.execution.variables.declare(name, kind, value)

    def _assign(self, node: nodes.Assign) -> None:
        targets = [self.execution.variables.get(name) for name in node.names]
        if len(targets) == 1:
            targets[0].value = self.execution.evaluate(node.value, targets[0].type).value
            return
        self.execution.into(targets, self.execution.select(row_query(node.value.sql), node.value), node.names)

    def _raise(self, node: nodes.Raise) -> None:
        if node.message is None:
            if not self._errors:
                raise StepFailed("RAISE without a message is for EXCEPTION handlers only.")
            raise self._errors[-1]
        raise StepFailed(str(self.execution.evaluate(node.message, SqlType("STRING")).value))

    def _assert(self, node: nodes.Assert) -> None:
        if self.execution.evaluate(node.condition, SqlType("BOOL")).value is not True:
            raise StepFailed(node.message or f"Assertion failed: {node.condition.sql}")

    def _transaction(self, node: nodes.Transaction) -> None:
        undo = self.execution.undo
        {"BEGIN": undo.begin, "COMMIT": undo.commit, "ROLLBACK": undo.rollback}[node.action]()

    def _call(self, node: nodes.Call) -> None:
        procedure = self._find(node.procedure)
        if len(node.arguments) != len(procedure.arguments):
            raise StepFailed(
                f"{procedure.name} takes {len(procedure.arguments)} arguments"
                f" ({', '.join(argument.name for argument in procedure.arguments)}), not {len(node.arguments)}."
            )
        given: dict[str, Variable] = {}
        targets: list[tuple[str, Variable]] = []
        for argument, text in zip(procedure.arguments, node.arguments, strict=True):
            if argument.mode == "IN":
                given[argument.name.lower()] = self.execution.evaluate(text, argument.type)
                continue
            target = self.execution.variables.get(text.sql)
            targets.append((argument.name, target))
            given[argument.name.lower()] = replace(target)
        variables = self._enter(procedure, given)
        for name, target in targets:
            target.value = variables.get(name).value

    def _execute(self, node: nodes.Execute) -> None:
        sql = self.execution.evaluate(node.sql, SqlType("STRING")).value
        if sql is None:
            raise StepFailed("EXECUTE IMMEDIATE got NULL instead of SQL.")
        body = parse_script(sql, "EXECUTE IMMEDIATE")
        if len(body) != 1 or not isinstance(body[0], nodes.Sql):
            raise StepFailed(
                "EXECUTE IMMEDIATE runs one SQL statement: CALL, blocks, variables and jumps are not allowed in it."
            )
        used = [(name, self.execution.evaluate(value, None)) for name, value in node.using]
        context = replace(
            self.execution.context,
            parameters=tuple((name.lower(), variable.type) for name, variable in used if name),
            positional=tuple(variable.type for name, variable in used if not name),
        )
        values = {f"p_{name.lower()}": as_value(variable) for name, variable in used if name}
        positional = [as_value(variable) for name, variable in used if not name]
        values |= {f"q_{number}": value for number, value in enumerate(positional, 1)}
        values |= self.execution.system
        outcome = self.execution.statement(body[0].at.sql, context, values, into=bool(node.into))
        if node.into:
            self.execution.into([self.execution.variables.get(name) for name in node.into], outcome, node.into)

    # -- control --------------------------------------------------------------------------------------------------

    def _if(self, node: nodes.If) -> None:
        subject = f"({node.subject.sql}) = " if node.subject is not None else ""
        for branch in node.branches:
            condition = (
                replace(branch.condition, sql=f"{subject}({branch.condition.sql})") if subject else branch.condition
            )
            if self.execution.is_true(condition):
                self._run(branch.body)
                return
        self._run(node.otherwise)

    def _loop(self, node: nodes.Loop) -> None:
        while node.condition is None or self.execution.is_true(node.condition):
            self.execution.job.check()
            if self._round(node.body, node.label):
                return
            if node.until is not None and self.execution.is_true(node.until):
                return

    def _for(self, node: nodes.ForIn) -> None:
        outcome = self.execution.select(node.query.sql, node.query)
        if len(outcome.rows) >= ROWS_MAX:
            raise StepFailed(f"FOR … IN goes over more than {ROWS_MAX:,} rows.")
        kind = SqlType("STRUCT", outcome.columns)
        names = [name for name, _ in outcome.columns]
        for row in outcome.rows:
            self.execution.job.check()
            with self.execution.variables.block():
                self.execution.variables.declare(node.name, kind, dict(zip(names, row, strict=True)))
                if self._round(node.body, node.label):
                    return

    def _round(self, body: Sequence[nodes.Node], label: str) -> bool:
        """Run a loop's body once; return whether to leave the loop."""
        try:
            self._run(body)
        except Iterate as jump:
            if jump.label not in {"", label}:
                raise
        except Leave as jump:
            if jump.label not in {"", label}:
                raise
            return True
        return False

    def _jump(self, node: nodes.Jump) -> None:
        if node.label is None:
            raise Return
        raise Leave(node.label) if node.leave else Iterate(node.label)

    def _block(self, node: nodes.Block) -> None:
        try:
            with self.execution.variables.block():
                self._guarded(node)
        except Leave as jump:
            if not jump.label or jump.label != node.label:
                raise

    def _guarded(self, node: nodes.Block) -> None:
        if node.handler is None:
            self._run(node.body)
            return
        depth = len(self.execution.variables.blocks)
        try:
            self._run(node.body)
        except ScriptError as error:
            del self.execution.variables.blocks[depth:]
            self.execution.undo.recover()
            self._handle(node.handler, error)

    def _handle(self, handler: Sequence[nodes.Node], error: ScriptError) -> None:
        before = {name: value for name, value in self.execution.system.items() if name.startswith("s_error_")}
        self._errors.append(error)
        self.execution.system |= {
            "s_error_message": error.message,
            "s_error_statement_text": error.statement_text,
            "s_error_formatted_stack_trace": error.stack_trace,
            "s_error_stack_trace": error.stack_trace,
        }
        try:
            with self.execution.variables.block():
                self._run(handler)
        finally:
            self._errors.pop()
            self.execution.system |= before

    _RUNNERS: ClassVar[Mapping[type[nodes.Node], Callable[[Interpreter, Any], None]]] = {
        nodes.Assert: _assert,
        nodes.Assign: _assign,
        nodes.Block: _block,
        nodes.Call: _call,
        nodes.Declare: _declare,
        nodes.Execute: _execute,
        nodes.ForIn: _for,
        nodes.If: _if,
        nodes.Jump: _jump,
        nodes.Loop: _loop,
        nodes.Raise: _raise,
        nodes.Sql: _sql,
        nodes.Transaction: _transaction,
    }
