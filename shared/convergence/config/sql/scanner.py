"""GoogleSQL split into the pieces that matter for templates: code, strings, quoted identifiers, comments.

Follows "Lexical structure and syntax" of the GoogleSQL reference: single, double and triple quotes, the prefixes r, b,
rb and br, backslash escapes (in raw strings, too, a backslash keeps the next quote from closing the string), comments
`--`, `#` and `/* */`. Joined, the pieces are always the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

Kind = Literal["word", "at", "blank", "other", "string", "backtick", "comment", "open"]

_PIECE: Final = re.compile(
    r"""
    (?P<comment> --[^\n]*  |  \#[^\n]*  |  /\*.*?\*/ )
  | (?P<string> (?P<prefix>[rR][bB]?|[bB][rR]?)?  (?:
        (?P<q3>'{3}|"{3})  (?P<body3> (?: \\. | (?!(?P=q3))[^\\] )*+ )  (?P=q3)
      | (?P<q1>'(?!'')|"(?!""))  (?P<body1> (?: \\. | (?!(?P=q1))[^\n\\] )*+ )  (?P=q1)
    ))
  | (?P<backtick> ` (?P<name> (?: \\. | [^`\\\n] )*+ ) ` )
  | (?P<at> @@[A-Za-z_][A-Za-z0-9_.]* | @[A-Za-z_][A-Za-z0-9_]* )
  | (?P<word> [A-Za-z_][A-Za-z0-9_]* )
  | (?P<blank> \s+ )
  | (?P<open> (?: ['"`] | /\* ) .* )
  | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)


class Piece(NamedTuple):
    """A piece of SQL. `body` is what is between quotes; `prefix` is r, b, rb or br in lower case.

    The kind `open` is a quote or a comment that is never closed, with everything after it.
    """

    kind: Kind
    text: str
    start: int
    body: str = ""
    prefix: str = ""


def scan(sql: str) -> Iterator[Piece]:
    """Yield the pieces of a statement."""
    for match in _PIECE.finditer(sql):
        kind = match.lastgroup
        group = match.group
        if group("string") is not None:
            body = group("body3") if group("q3") is not None else group("body1")
            yield Piece("string", match.group(), match.start(), body or "", (group("prefix") or "").lower())
        elif group("backtick") is not None:
            yield Piece("backtick", match.group(), match.start(), group("name"))
        else:
            yield Piece(_kind(kind), match.group(), match.start())


def _kind(name: str | None) -> Kind:
    match name:
        case "comment" | "at" | "word" | "blank" | "open":
            return name
        case _:
            return "other"
