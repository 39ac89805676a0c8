"""Procedures folded for one call: the text of every EXECUTE IMMEDIATE, known before anything runs.

Both warehouses fold each call and check the result. So a statement that is made from arguments and constants is checked
like one that is written out, and one that depends on data is refused, with the name that is not known.

Values are followed through the script in the order in which it runs. A variable is known while every way to the
statement leaves it the same value; what a loop, an exception or a jump may have changed is not known after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from convergence.adapters.googlesql.parameters import python_value
from convergence.adapters.googlesql.procedures.constants import Constant, NotKnown, Unknown, evaluate, typed
from convergence.adapters.googlesql.procedures.folded import Folded, Types
from convergence.adapters.googlesql.scripts import nodes
from convergence.adapters.googlesql.scripts.parser import parse_script
from convergence.adapters.googlesql.scripts.walk import bodies_of
from convergence.adapters.googlesql.types import SqlType, parse_type
from convergence.errors import ConfigError, Denied, NotFound, StepFailed, did_you_mean
from convergence.ports.warehouse import Parameter

DEPTH_MAX: Final = 50  # nested calls (BigQuery, quotas: procedural language)
STATEMENTS_MAX: Final = 10_000  # of one call with all that it calls: each CALL is folded for its own arguments
RESERVED: Final = "convergence_"  # begins the names of what is put around a procedure

Find = Callable[[str], nodes.Procedure]


def fold_procedure(
    procedure: nodes.Procedure, values: Mapping[str, Constant | Unknown], find: Find, system: Mapping[str, Constant]
) -> Folded:
    """Fold a procedure for the `values` of its arguments, by name in lower case; one that is missing is not known.

    `find` returns the procedure that a CALL names; `system` has the values of system variables, as `@@name`.

    Raises:
        Denied: SQL that is not known before the call, with `file:line:column` and what is not known.
        StepFailed: a statement that BigQuery refuses anywhere: a name declared twice, SQL that is a block.
    """
    return _Folder(find, system, [0]).procedure(procedure, values, ())


def known_arguments(procedure: nodes.Procedure, given: Mapping[str, Parameter]) -> dict[str, Constant | Unknown]:
    """Return the values of a call's arguments, by name in lower case, as far as they can become part of SQL."""
    known: dict[str, Constant | Unknown] = {}
    for argument in procedure.arguments:
        parameter = given.get(argument.name.lower())
        if parameter is not None:
            kind = parse_type(parameter.type)
            value = python_value(argument.name, kind, parameter.value)
            is_number = kind.name == "INT64" and value is not None
            known[argument.name.lower()] = int(value) if is_number else typed(value, kind)
    return known


def fold_script(body: Sequence[nodes.Node], source: str, find: Find, system: Mapping[str, Constant]) -> Folded:
    """Fold a script without arguments. Raises as `fold_procedure` does."""
    folded = Folded(source, body)
    _Walk(_Folder(find, system, [0]), folded, ()).body(body, dict(system))
    return folded


class _Folder:
    """What the procedures of one call share."""

    def __init__(self, find: Find, system: Mapping[str, Constant], count: list[int]) -> None:
        self.find, self.system, self._count = find, system, count

    def procedure(
        self, procedure: nodes.Procedure, values: Mapping[str, Constant | Unknown], callers: tuple[str, ...]
    ) -> Folded:
        folded = Folded(procedure.source, procedure.body, procedure.arguments, procedure.name)
        known: dict[str, Constant | Unknown] = dict(self.system)
        walk = _Walk(self, folded, (*callers, procedure.name))
        for argument in procedure.arguments:
            name = argument.name.lower()
            value = (
                values.get(name, Unknown("it is an argument without a value here")) if argument.mode != "OUT" else None
            )
            known[name] = value if isinstance(value, Unknown) else typed(value, argument.type)
            folded.declared[name] = walk.types[name] = argument.type
        walk.body(procedure.body, known)
        return folded

    def counted(self) -> None:
        self._count[0] += 1
        if self._count[0] > STATEMENTS_MAX:
            raise StepFailed(f"The call runs through more than {STATEMENTS_MAX:,} statements: split it.")


Known = dict[str, "Constant | Unknown"]


class _Walk:
    """Goes through one procedure. `types` are the variables in sight."""

    def __init__(self, folder: _Folder, folded: Folded, callers: tuple[str, ...]) -> None:
        self._folder, self._folded, self._callers = folder, folded, callers
        self.types: dict[str, SqlType | None] = {}

    def body(self, body: Sequence[nodes.Node], known: Known) -> None:
        """Follow the values through statements; `known` is changed."""
        for node in body:
            self._folder.counted()
            place = f"{self._folded.source}:{node.at.line}:{node.at.column}"
            try:
                self._node(node, known)
            except NotKnown as error:
                raise Denied(
                    f"{place}: {error} is not known before the call, so what this EXECUTE IMMEDIATE touches cannot be"
                    " checked. Build its text from arguments and constants, and pass values with USING."
                ) from error
            except (_Refused, ConfigError) as error:
                raise StepFailed(f"{place}: {error}") from error

    def _node(self, node: nodes.Node, known: Known) -> None:
        if isinstance(node, nodes.Declare):
            self._declare(node, known)
        elif isinstance(node, nodes.Assign):
            value = self._value(node.value, known) if len(node.names) == 1 else Unknown(_set_at(node))
            self._targets(node.names)
            for name in node.names:
                known[name.lower()] = self._typed(value, name)
        elif isinstance(node, nodes.Execute):
            self._execute(node, known)
        elif isinstance(node, nodes.Call):
            self._call(node, known)
        elif isinstance(node, nodes.If):
            self._if(node, known)
        elif isinstance(node, nodes.Loop):
            self._forget(node.body, known, f"it may change in the loop at line {node.at.line}")
            self.body(node.body, dict(known))
        elif isinstance(node, nodes.ForIn):
            self._for(node, known)
        elif isinstance(node, nodes.Block):
            self._block(node, known)

    def _declare(self, node: nodes.Declare, known: Known) -> None:
        value = self._value(node.default, known) if node.default is not None else None
        for name in node.names:
            if name.lower().startswith(RESERVED):
                raise _Refused(f"names that begin with {RESERVED!r} are reserved: rename the variable {name!r}.")
            if name.lower() in self.types:
                raise _Refused(
                    f"{name!r} is declared already, as a variable or an argument: BigQuery requires a different name."
                )
            self._folded.declared[name.lower()] = self.types[name.lower()] = node.type
            known[name.lower()] = self._typed(value, name)

    def _execute(self, node: nodes.Execute, known: Known) -> None:
        text = evaluate(node.sql, known)
        if text is not None and not isinstance(text, str):
            raise _Refused("EXECUTE IMMEDIATE needs a STRING.")
        if text is not None:
            body = parse_script(text, "EXECUTE IMMEDIATE")
            if len(body) != 1 or not isinstance(body[0], nodes.Sql):
                raise _Refused(
                    "EXECUTE IMMEDIATE runs one SQL statement: CALL, blocks, variables and jumps are not allowed in it."
                )
            text = body[0].at.sql
        self._folded.texts[node] = text
        self._targets(node.into)
        for name in node.into:
            known[name.lower()] = Unknown(f"it comes from a query at line {node.at.line}")

    def _call(self, node: nodes.Call, known: Known) -> None:
        if len(self._callers) >= DEPTH_MAX:
            raise _Refused(f"CALL is nested deeper than {DEPTH_MAX}: {' → '.join(self._callers[-3:])} → …")
        place = f"{self._folded.source}:{node.at.line}:{node.at.column}"
        try:
            procedure = self._folder.find(node.procedure)
        except (NotFound, Denied) as error:
            raise type(error)(f"{place}: {error}") from error
        if len(node.arguments) != len(procedure.arguments):
            raise _Refused(
                f"{procedure.name} takes {len(procedure.arguments)} arguments"
                f" ({', '.join(argument.name for argument in procedure.arguments)}), {len(node.arguments)} were given."
            )
        values = {
            argument.name.lower(): self._value(text, known)
            for argument, text in zip(procedure.arguments, node.arguments, strict=True)
        }
        self._folded.visible[node] = dict(self.types)
        self._folded.calls[node] = self._folder.procedure(procedure, values, self._callers)
        for argument, text in zip(procedure.arguments, node.arguments, strict=True):
            if argument.mode != "IN":
                self._targets([text.sql])
                known[text.sql.lower()] = Unknown(f"it comes from a CALL at line {node.at.line}")

    def _targets(self, names: Sequence[str]) -> None:
        """Only the procedure's own variables are set: those around it are ours."""
        for name in names:
            if name.lower() not in self.types:
                raise _Refused(f"No variable is called {name!r}.{did_you_mean(name, self.types)}")

    def _if(self, node: nodes.If, known: Known) -> None:
        subject = f"({node.subject.sql}) = " if node.subject is not None else ""
        ways: list[Known] = []
        decided = False
        for place, branch in enumerate((*node.branches, None)):
            way = dict(known)
            test = True if branch is None else self._condition(branch.condition, subject, known)
            self.body(node.otherwise if branch is None else branch.body, way)
            if not decided and test is not False:
                ways.append(way)
            else:
                self._folded.untaken.add((node, place))
            decided = decided or test is True
        _join(known, ways, f"it depends on the IF at line {node.at.line}")

    def _condition(self, text: nodes.Text, subject: str, known: Known) -> bool | None:
        """Return whether a branch is taken, None where that is not known."""
        value = self._value(nodes.Text(f"{subject}({text.sql})", text.line, text.column), known)
        return None if isinstance(value, Unknown) else value is True

    def _for(self, node: nodes.ForIn, known: Known) -> None:
        self._forget(node.body, known, f"it may change in the loop at line {node.at.line}")
        name = node.name.lower()
        if name in self.types:
            raise _Refused(f"{node.name!r} is declared already: BigQuery requires a different name for the rows.")
        self.types[name] = None
        self.body(node.body, {**known, name: Unknown(f"it comes from a query at line {node.at.line}")})
        del self.types[name]

    def _block(self, node: nodes.Block, known: Known) -> None:
        outside = dict(self.types)
        before = dict(known)
        self.body(node.body, known)
        if node.label:
            self._forget(node.body, known, f"it may change in the block at line {node.at.line}")
        self._leave(outside, known)
        if node.handler is not None:
            self._forget(node.body, before, f"it may change before the error in the block at line {node.at.line}")
            self.body(node.handler, before)
            self._leave(outside, before)
            _join(known, [dict(known), before], f"it depends on an error in the block at line {node.at.line}")

    def _leave(self, outside: Types, known: Known) -> None:
        for name in [each for each in self.types if each not in outside]:
            del self.types[name]
            known.pop(name, None)

    def _forget(self, body: Sequence[nodes.Node], known: Known, reason: str) -> None:
        for name in self._assigned(body):
            if name in known:
                known[name] = Unknown(reason)

    def _assigned(self, body: Sequence[nodes.Node]) -> Iterator[str]:
        """Yield the variables that statements may change, in lower case."""
        for node in body:
            if isinstance(node, nodes.Assign):
                yield from (name.lower() for name in node.names)
            elif isinstance(node, nodes.Execute):
                yield from (name.lower() for name in node.into)
            elif isinstance(node, nodes.Call):
                yield from (text.sql.strip("` \n").lower() for text in node.arguments)  # those of OUT are names
            for inner in bodies_of(node):
                yield from self._assigned(inner)

    def _value(self, text: nodes.Text, known: Known) -> Constant | Unknown:
        try:
            return evaluate(text, known)
        except NotKnown as error:
            return Unknown(f"line {text.line}: {error}")

    def _typed(self, value: Constant | Unknown, name: str) -> Constant | Unknown:
        return value if isinstance(value, Unknown) else typed(value, self.types.get(name.lower()))


class _Refused(Exception):
    """A statement that BigQuery does not take; the place is added on the way out."""


def _join(known: Known, ways: Sequence[Known], reason: str) -> None:
    """Keep what is the same on all paths."""
    for name in known:
        found = [way.get(name) for way in ways]
        same = all(type(each) is type(found[0]) and each == found[0] for each in found)
        known[name] = found[0] if same else Unknown(reason)


def _set_at(node: nodes.Assign) -> str:
    return f"it is set together with others at line {node.at.line}"
