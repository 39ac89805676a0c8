"""Runs scripts: walks the tree, keeps variables, hands statements to DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from convergence.adapters.local.googlesql import script_nodes as nodes
from convergence.adapters.local.googlesql.script_errors import Frame, Iterate, Leave, Return, ScriptError
from convergence.adapters.local.googlesql.script_nodes import Text
from convergence.adapters.local.googlesql.script_parser import parse_script
from convergence.adapters.local.googlesql.translate import row_query
from convergence.adapters.local.googlesql.types import SqlType
from convergence.adapters.local.googlesql.undo import Undo
from convergence.adapters.local.googlesql.variables import Variable, Variables, as_value
from convergence.errors import ConvergenceError, StepFailed, Transient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convergence.adapters.local.googlesql.translate import Around
    from convergence.adapters.local.warehouse_query import Outcome, Statements
    from convergence.adapters.local.warehouse_session import Job

DEPTH_MAX: Final = 50  # BigQuery, quotas: procedural language, nesting
ROWS_MAX: Final = 100_000  # of one FOR … IN or one result

FindProcedure = Callable[[str], nodes.Procedure]


@dataclass(slots=True)
class _Scope:
    """One running script or procedure."""

    source: str
    variables: Variables


class Interpreter:
    """One call, from its first statement to its last. Not for use twice.

    `around` is the surroundings of every statement; `find` returns a procedure by the path that CALL names.
    """

    def __init__(
        self, job: Job, statements: Statements, around: Around, find: FindProcedure, system: Mapping[str, Any]
    ) -> None:
        self._job, self._statements, self._find = job, statements, find
        self._around = replace(around, in_script=True)
        self._undo = Undo(job.cursor)
        self._scopes: list[_Scope] = []
        self._frames: list[Frame] = []
        self._system: dict[str, Any] = {f"s_{name.replace('.', '_')}": value for name, value in system.items()}
        self._system |= {"s_row_count": None}
        self._errors: list[ScriptError] = []
        self.last: Outcome | None = None
        self.rows_affected = 0
        self.written: set[tuple[str, str]] = set()

    # -- scripts and procedures ---------------------------------------------------------------------------------

    def run_script(self, body: Sequence[nodes.Node], source: str) -> None:
        """Run a script's statements. Raises `ScriptError`, `Transient` when cancelled."""
        self._run_body(body, _Scope(source, Variables()))
        self._undo.close()

    def run_procedure(self, procedure: nodes.Procedure, arguments: Mapping[str, Variable]) -> Variables:
        """Run a procedure; return its variables, for OUT arguments."""
        variables = self._enter(procedure, arguments)
        self._undo.close()
        return variables

    def _enter(self, procedure: nodes.Procedure, arguments: Mapping[str, Variable]) -> Variables:
        if len(self._scopes) >= DEPTH_MAX:
            raise StepFailed(f"CALL is nested deeper than {DEPTH_MAX}.")
        variables = Variables()
        for argument in procedure.arguments:
            given = arguments[argument.name.lower()]
            kind = argument.type or given.type
            value = given.value if argument.type is None or given.value is None else self._cast(given, kind)
            variables.declare(argument.name, kind, None if argument.mode == "OUT" else value)
        self._run_body(procedure.body, _Scope(procedure.source, variables))
        return variables

    def _run_body(self, body: Sequence[nodes.Node], scope: _Scope) -> None:
        self._scopes.append(scope)
        try:
            self._run(body)
        except Return:
            pass
        except (Leave, Iterate) as jump:
            raise StepFailed(f"No loop or block is called {jump.label!r}.") from jump
        finally:
            self._scopes.pop()

    @property
    def _variables(self) -> Variables:
        return self._scopes[-1].variables

    def _run(self, body: Sequence[nodes.Node]) -> None:
        for node in body:
            self._job.check()
            with self._at(node.at):
                _RUNNERS[type(node)](self, node)

    @contextmanager
    def _at(self, text: Text) -> Iterator[None]:
        """Give every error inside the place of this statement."""
        self._frames.append(Frame(self._scopes[-1].source, text))
        try:
            yield
        except (ScriptError, Transient):
            raise
        except ConvergenceError as error:
            raise ScriptError(str(error), tuple(reversed(self._frames))) from error
        finally:
            self._frames.pop()

    # -- statements -----------------------------------------------------------------------------------------------

    def _sql(self, node: nodes.Sql) -> None:
        self._statement(node.at.sql, self._surroundings(), self._values())

    def _statement(self, sql: str, around: Around, values: Mapping[str, Any]) -> Outcome:
        translation = self._statements.prepare(self._job, sql, around)
        outcome = self._execute_on_duckdb(lambda: self._statements.run(self._job, translation, values, ROWS_MAX))
        if translation.is_query:
            self.last = outcome
            return outcome
        self._undo.wrote(translation.sql, {name: values[name] for name in translation.parameters})
        self.written |= translation.touched.writes
        if not translation.defines:
            self.rows_affected += outcome.rows_affected - outcome.rows_deleted
            self._system["s_row_count"] = outcome.rows_affected
        if translation.temporary:
            self._around = replace(self._around, temporary=self._around.temporary | {translation.temporary})
        return outcome

    def _execute_on_duckdb(self, run: Callable[[], Outcome]) -> Outcome:
        try:
            return run()
        except ConvergenceError:
            self._undo.broken = True
            raise

    def _declare(self, node: nodes.Declare) -> None:
        kind, value = node.type, None
        if node.default is not None:
            default = self._evaluate(node.default, node.type)
            kind, value = default.type, default.value
        assert kind is not None, "the parser asks for a type or a default"
        for name in node.names:
            self._variables.declare(name, kind, value)

    def _assign(self, node: nodes.Assign) -> None:
        targets = [self._variables.get(name) for name in node.names]
        if len(targets) == 1:
            targets[0].value = self._evaluate(node.value, targets[0].type).value
            return
        self._into(targets, self._select(row_query(node.value.sql), node.value), node.names)

    def _into(self, targets: Sequence[Variable], outcome: Outcome, names: Sequence[str]) -> None:
        if len(outcome.rows) > 1:
            raise StepFailed("The query returned more than one row, but its columns go INTO variables.")
        if len(outcome.columns) != len(targets):
            raise StepFailed(
                f"{len(outcome.columns)} columns cannot go into {len(targets)} variables ({', '.join(names)})."
            )
        row = outcome.rows[0] if outcome.rows else (None,) * len(targets)
        for target, (_, kind), value in zip(targets, outcome.columns, row, strict=True):
            target.value = self._cast(Variable(kind, value), target.type)

    def _raise(self, node: nodes.Raise) -> None:
        if node.message is None:
            if not self._errors:
                raise StepFailed("RAISE without a message is for EXCEPTION handlers only.")
            raise self._errors[-1]
        raise StepFailed(str(self._evaluate(node.message, SqlType("STRING")).value))

    def _assert(self, node: nodes.Assert) -> None:
        if self._evaluate(node.condition, SqlType("BOOL")).value is not True:
            raise StepFailed(node.message or f"Assertion failed: {node.condition.sql}")

    def _transaction(self, node: nodes.Transaction) -> None:
        {"BEGIN": self._undo.begin, "COMMIT": self._undo.commit, "ROLLBACK": self._undo.rollback}[node.action]()

    def _call(self, node: nodes.Call) -> None:
        procedure = self._find(node.procedure)
        if len(node.arguments) != len(procedure.arguments):
            raise StepFailed(
                f"{procedure.name} takes {len(procedure.arguments)} arguments"
                f" ({', '.join(argument.name for argument in procedure.arguments)}), {len(node.arguments)} were given."
            )
        given: dict[str, Variable] = {}
        targets: list[tuple[str, Variable]] = []
        for argument, text in zip(procedure.arguments, node.arguments, strict=True):
            if argument.mode == "IN":
                given[argument.name.lower()] = self._evaluate(text, argument.type)
                continue
            target = self._variables.get(text.sql)
            targets.append((argument.name, target))
            given[argument.name.lower()] = replace(target)
        variables = self._enter(procedure, given)
        for name, target in targets:
            target.value = variables.get(name).value

    def _execute(self, node: nodes.Execute) -> None:
        sql = self._evaluate(node.sql, SqlType("STRING")).value
        if sql is None:
            raise StepFailed("EXECUTE IMMEDIATE got NULL instead of SQL.")
        body = parse_script(sql, "EXECUTE IMMEDIATE")
        if len(body) != 1 or not isinstance(body[0], nodes.Sql | nodes.Call):
            raise StepFailed("EXECUTE IMMEDIATE runs one SQL statement; blocks, variables and jumps stay outside.")
        used = [(name, self._evaluate(value, None)) for name, value in node.using]
        if isinstance(body[0], nodes.Call):
            self._call(body[0])
            return
        around = replace(
            self._around,
            parameters=tuple((name.lower(), variable.type) for name, variable in used if name),
            positional=tuple(variable.type for name, variable in used if not name),
        )
        values = {f"p_{name.lower()}": as_value(variable) for name, variable in used if name}
        positional = [as_value(variable) for name, variable in used if not name]
        values |= {f"q_{number}": value for number, value in enumerate(positional, 1)}
        outcome = self._statement(body[0].at.sql, around, values | self._system)
        if node.into:
            self._into([self._variables.get(name) for name in node.into], outcome, node.into)

    # -- control --------------------------------------------------------------------------------------------------

    def _if(self, node: nodes.If) -> None:
        subject = f"({node.subject.sql}) = " if node.subject is not None else ""
        for branch in node.branches:
            condition = (
                replace(branch.condition, sql=f"{subject}({branch.condition.sql})") if subject else branch.condition
            )
            if self._is_true(condition):
                self._run(branch.body)
                return
        self._run(node.otherwise)

    def _loop(self, node: nodes.Loop) -> None:
        while node.condition is None or self._is_true(node.condition):
            self._job.check()
            if self._round(node.body, node.label):
                return
            if node.until is not None and self._is_true(node.until):
                return

    def _for(self, node: nodes.ForIn) -> None:
        outcome = self._select(node.query.sql, node.query)
        if len(outcome.rows) >= ROWS_MAX:
            raise StepFailed(f"FOR … IN goes over more than {ROWS_MAX:,} rows.")
        kind = SqlType("STRUCT", outcome.columns)
        names = [name for name, _ in outcome.columns]
        for row in outcome.rows:
            self._job.check()
            with self._variables.block():
                self._variables.declare(node.name, kind, dict(zip(names, row, strict=True)))
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
            with self._variables.block():
                self._guarded(node)
        except Leave as jump:
            if not jump.label or jump.label != node.label:
                raise

    def _guarded(self, node: nodes.Block) -> None:
        if node.handler is None:
            self._run(node.body)
            return
        depth = len(self._variables.blocks)
        try:
            self._run(node.body)
        except ScriptError as error:
            del self._variables.blocks[depth:]
            self._undo.recover()
            self._handle(node.handler, error)

    def _handle(self, handler: Sequence[nodes.Node], error: ScriptError) -> None:
        before = {name: value for name, value in self._system.items() if name.startswith("s_error_")}
        self._errors.append(error)
        self._system |= {
            "s_error_message": error.message,
            "s_error_statement_text": error.statement_text,
            "s_error_formatted_stack_trace": error.stack_trace,
            "s_error_stack_trace": error.stack_trace,
        }
        try:
            with self._variables.block():
                self._run(handler)
        finally:
            self._errors.pop()
            self._system |= before

    # -- expressions ----------------------------------------------------------------------------------------------

    def _is_true(self, condition: Text) -> bool:
        return self._evaluate(condition, SqlType("BOOL")).value is True

    def _evaluate(self, text: Text, kind: SqlType | None) -> Variable:
        """Return the value of an expression, in the type `kind` or its own."""
        with self._at(text):
            sql = f"SELECT CAST(({text.sql}\n) AS {kind})" if kind is not None else f"SELECT ({text.sql}\n)"
            outcome = self._select(sql, text)
            [(_, found)], [(value,)] = outcome.columns, outcome.rows
            return Variable(kind or found, value)

    def _cast(self, variable: Variable, kind: SqlType) -> Any:
        if variable.type == kind or variable.value is None:
            return variable.value
        around = replace(self._around, parameters=(("value", variable.type),))
        translation = self._statements.prepare(self._job, f"SELECT CAST(@value AS {kind})", around)
        outcome = self._execute_on_duckdb(
            lambda: self._statements.run(self._job, translation, {"p_value": as_value(variable)}, 1)
        )
        return outcome.rows[0][0]

    def _select(self, sql: str, text: Text) -> Outcome:
        with self._at(text):
            translation = self._statements.prepare(self._job, sql, self._surroundings())
            values = self._values()
            return self._execute_on_duckdb(lambda: self._statements.run(self._job, translation, values, ROWS_MAX))

    def _surroundings(self) -> Around:
        visible = self._variables.visible()
        return replace(self._around, variables=tuple((name, variable.type) for name, variable in visible.items()))

    def _values(self) -> dict[str, Any]:
        return {f"v_{name}": as_value(each) for name, each in self._variables.visible().items()} | self._system


_RUNNERS: Final[dict[type[nodes.Node], Callable[[Interpreter, Any], None]]] = {
    nodes.Assert: Interpreter._assert,  # noqa: SLF001 - this module's own class
    nodes.Assign: Interpreter._assign,  # noqa: SLF001
    nodes.Block: Interpreter._block,  # noqa: SLF001
    nodes.Call: Interpreter._call,  # noqa: SLF001
    nodes.Declare: Interpreter._declare,  # noqa: SLF001
    nodes.Execute: Interpreter._execute,  # noqa: SLF001
    nodes.ForIn: Interpreter._for,  # noqa: SLF001
    nodes.If: Interpreter._if,  # noqa: SLF001
    nodes.Jump: Interpreter._jump,  # noqa: SLF001
    nodes.Loop: Interpreter._loop,  # noqa: SLF001
    nodes.Raise: Interpreter._raise,  # noqa: SLF001
    nodes.Sql: Interpreter._sql,  # noqa: SLF001
    nodes.Transaction: Interpreter._transaction,  # noqa: SLF001
}
