"""The statements of a script, as a tree. Expressions and plain SQL stay text, with the place they come from."""

from __future__ import annotations

from dataclasses import dataclass

from convergence.adapters.googlesql.types import SqlType


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the script: an expression or a statement. `line` and `column` count from 1 in the file."""

    sql: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Node:
    """Any statement. `at` is its whole text."""

    at: Text


@dataclass(frozen=True, slots=True)
class Declare(Node):
    """DECLARE a, b INT64 DEFAULT 0. Without a type the default decides."""

    names: tuple[str, ...]
    type: SqlType | None
    default: Text | None


@dataclass(frozen=True, slots=True)
class Assign(Node):
    """SET a = …, and SET (a, b) = …"""

    names: tuple[str, ...]
    value: Text


@dataclass(frozen=True, slots=True)
class Branch:
    """One IF, ELSEIF or WHEN with its statements."""

    condition: Text
    body: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class If(Node):
    """IF … ELSEIF … ELSE … END IF, and CASE, whose subject is kept."""

    branches: tuple[Branch, ...]
    otherwise: tuple[Node, ...] = ()
    subject: Text | None = None


@dataclass(frozen=True, slots=True)
class Loop(Node):
    """LOOP, WHILE (`condition` before the body) and REPEAT (`until` after it)."""

    body: tuple[Node, ...]
    condition: Text | None = None
    until: Text | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class ForIn(Node):
    """FOR row IN (query) DO … END FOR"""

    name: str
    query: Text
    body: tuple[Node, ...]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Jump(Node):
    """LEAVE or BREAK (`leave`), ITERATE or CONTINUE, RETURN (`label` is then None)."""

    leave: bool
    label: str | None


@dataclass(frozen=True, slots=True)
class Block(Node):
    """BEGIN … EXCEPTION WHEN ERROR THEN … END. `handler` is None when there is none."""

    body: tuple[Node, ...]
    handler: tuple[Node, ...] | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Raise(Node):
    """RAISE [USING MESSAGE = …]"""

    message: Text | None


@dataclass(frozen=True, slots=True)
class Assert(Node):
    """ASSERT condition [AS 'text']"""

    condition: Text
    message: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    """CALL dataset.procedure(arguments)"""

    procedure: str
    arguments: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Transaction(Node):
    """`action` is BEGIN, COMMIT or ROLLBACK."""

    action: str


@dataclass(frozen=True, slots=True)
class Execute(Node):
    """EXECUTE IMMEDIATE sql [INTO names] [USING values [AS name]]"""

    sql: Text
    into: tuple[str, ...] = ()
    using: tuple[tuple[str, Text], ...] = ()


@dataclass(frozen=True, slots=True)
class Sql(Node):
    """A plain statement."""


@dataclass(frozen=True, slots=True)
class Argument:
    """A procedure's parameter; `mode` is IN, OUT or INOUT, `type` None for ANY TYPE."""

    name: str
    type: SqlType | None
    mode: str = "IN"


@dataclass(frozen=True, slots=True)
class Procedure:
    """A parsed CREATE PROCEDURE. `name` has no dataset."""

    name: str
    dataset: str
    arguments: tuple[Argument, ...]
    body: tuple[Node, ...]
    source: str = ""
