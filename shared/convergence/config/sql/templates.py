"""Templates in SQL: values become query parameters, never text.

| where the template is | what becomes of it |
| --- | --- |
| `'{x}'`, a quoted literal that is exactly one template | `@x`, a parameter with the type of `x` |
| `DATE '{x}'`, `DATE('{x}')` (DATETIME, TIMESTAMP too) | `@x`, of that type |
| inside backticks: `` `{project_id}.{org_dataset}.t` `` | the value, checked as an identifier |
| in a comment | left alone |
| anywhere else | an error |

`@name` written by hand is the same as `'{name}'`, unless the step gives a parameter of that name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import groupby
from typing import Final

from convergence.config.sql.scanner import Piece, scan
from convergence.config.sql.statement import Bound, Identifier, Mistake, Statement
from convergence.config.templates.template import SLOT, Slot, parse
from convergence.errors import FINDINGS_MAX

_TEMPORAL: Final = frozenset({"DATE", "DATETIME", "TIMESTAMP"})
_TYPED_LITERALS: Final = _TEMPORAL | {"TIME", "NUMERIC", "BIGNUMERIC", "JSON"}
# Functions that parse text: a date passed to them stays text.
_TEXT_FUNCTIONS: Final = frozenset(
    {
        *("PARSE_DATE", "PARSE_DATETIME", "PARSE_TIMESTAMP", "PARSE_TIME", "CONCAT", "REPLACE", "SUBSTR", "LEFT"),
        *("SUBSTRING", "RIGHT", "SPLIT", "LOWER", "UPPER", "TRIM", "STARTS_WITH", "REGEXP_REPLACE", "FORMAT"),
        *("REGEXP_CONTAINS", "REGEXP_EXTRACT", "LPAD", "RPAD"),
    }
)


def parse_sql(sql: str, *, given: Collection[str] = (), types: Mapping[str, str] | None = None) -> Statement:
    """Read a statement. `given` are parameters that the step binds itself; `types` are types of known names."""
    return _Reading(sql, frozenset(given), types or {}).statement()


def parse_expression(sql: str, *, types: Mapping[str, str] | None = None) -> Statement:
    """Read an SQL expression, which may also be one template without quotes: it becomes a parameter."""
    template = parse(sql.strip())
    slot = template.whole if template is not None else None
    if slot is None:
        return parse_sql(sql, types=types)
    parameter = _parameter_name(slot.name)
    return Statement((f"@{parameter}",), (Bound(slot.name, parameter, (types or {}).get(slot.name), 0),), (), ())


def _parameter_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


class _Reading:
    def __init__(self, sql: str, given: frozenset[str], types: Mapping[str, str]) -> None:
        self._sql = sql
        self._pieces = list(scan(sql))
        self._types = types
        self._given = given
        self._parts: list[str | Identifier] = []
        self._bound: dict[tuple[str, str | None], Bound] = {}
        self._native: dict[str, Bound] = {}
        self._mistakes: list[Mistake] = []
        self._taken = {piece.text[1:] for piece in self._pieces if piece.kind == "at"} | given
        self._calls: list[str] = []  # names of the functions whose parentheses are open

    def statement(self) -> Statement:
        index = 0
        while index < len(self._pieces):
            index += self._typed(index) or self._piece(index)
        self._stray_templates()
        self._mistakes.sort(key=lambda mistake: mistake.line)
        native = tuple(self._native.values())
        return Statement(_merge(self._parts), tuple(self._bound.values()), native, tuple(self._mistakes))

    def _wrong(self, message: str, offset: int) -> None:
        if len(self._mistakes) > FINDINGS_MAX:
            return
        self._mistakes.append(Mistake(message, self._sql.count("\n", 0, offset)))

    def _typed(self, index: int) -> int:
        """Read `DATE '{x}'` or `DATE('{x}')` as one parameter; return how many pieces that took, 0 if none."""
        kind = self._pieces[index].text.upper()
        if self._pieces[index].kind != "word" or kind not in _TYPED_LITERALS:
            return 0
        rest = [(at, self._pieces[at]) for at in range(index + 1, min(index + 8, len(self._pieces)))]
        rest = [(at, piece) for at, piece in rest if piece.kind != "blank"][:3]
        if rest and rest[0][1].kind == "string":
            end, string = rest[0]
        elif [piece.text for _, piece in rest[::2]] == ["(", ")"] and kind in _TEMPORAL:
            end, string = rest[2][0], rest[1][1]
        else:
            return 0
        slot = _whole(string)
        if slot is None or (end == rest[-1][0] and len(rest) == 3 and self._other_type(slot.name, kind)):
            return 0
        self._parts.append(f"@{self._bind(slot.name, kind, string.start)}")
        return end + 1 - index

    def _other_type(self, name: str, kind: str) -> bool:
        """`TIMESTAMP('{date}')` converts; `DATE('{x}')` with a text only says what the text is."""
        return self._types.get(name, kind) not in {kind, "STRING"}

    def _piece(self, index: int) -> int:
        piece = self._pieces[index]
        match piece.kind:
            case "string":
                self._string(piece)
            case "backtick":
                self._backtick(piece)
            case "at":
                self._at(piece)
            case "open":
                opened = "/*" if piece.text.startswith("/*") else piece.text[0]
                self._wrong(f"this {opened} is never closed: close it", piece.start)
                self._parts.append(piece.text)
            case _:
                self._track_calls(index, piece)
                self._parts.append(piece.text)
        return 1

    def _track_calls(self, index: int, piece: Piece) -> None:
        if piece.text == "(":
            earlier = (self._pieces[place] for place in range(index - 1, -1, -1))
            before = next((other for other in earlier if other.kind != "blank"), None)
            self._calls.append(before.text.upper() if before is not None and before.kind == "word" else "")
        elif piece.text == ")" and self._calls:
            self._calls.pop()

    def _string(self, piece: Piece) -> None:
        template = parse(piece.body)
        slot = _whole(piece)
        if template is None:
            self._parts.append(piece.text)
        elif slot is not None:
            text = bool(self._calls) and self._calls[-1] in _TEXT_FUNCTIONS
            kind = "STRING" if text else self._types.get(slot.name)
            self._parts.append(f"@{self._bind(slot.name, kind, piece.start)}")
        elif template.slots:
            self._wrong(
                f"{{{template.slots[0].name}}} is only part of a quoted string: a value needs its own quotes, "
                "for example CONCAT('a-', '{x}')",
                piece.start,
            )
        else:  # escapes only
            left = len(piece.text) - len(piece.text.lstrip("rRbB"))
            left += 3 if piece.text[left:].startswith(("'''", '"""')) else 1
            body = "".join(str(part) for part in template.parts)
            self._parts.append(piece.text[:left] + body + piece.text[left + len(piece.body) :])

    def _bind(self, name: str, kind: str | None, offset: int) -> str:
        bound = self._bound.get((name, kind))
        if bound is None:
            expected = _parameter_name(name)
            number, parameter = 1, expected
            while parameter in self._taken:
                number += 1
                parameter = f"{expected}_{number}"
            self._taken.add(parameter)
            bound = self._bound[name, kind] = Bound(name, parameter, kind, offset)
        return bound.parameter

    def _backtick(self, piece: Piece) -> None:
        template = parse(piece.body)
        if template is None:
            self._parts.append(piece.text)
            return
        whole = template.whole is not None
        parts = [
            part if isinstance(part, str) else Identifier(part.name, whole, piece.start) for part in template.parts
        ]
        self._parts += ["`", *parts, "`"]

    def _at(self, piece: Piece) -> None:
        name = piece.text[1:]
        self._parts.append(piece.text)
        if not name.startswith("@") and name not in self._given:
            self._native[name] = Bound(name, name, self._types.get(name), piece.start)

    def _stray_templates(self) -> None:
        """Templates in plain code: braces have no meaning in SQL, so what looks like one is one."""
        code = "".join(
            piece.text if piece.kind in {"word", "blank", "other", "at"} else " " * len(piece.text)
            for piece in self._pieces
        )
        for match in SLOT.finditer(code):
            name = match["a"] or match["b"]
            self._wrong(
                f"{match['template']} is unquoted in SQL: write a value as '{{{name}}}' (it becomes a query "
                f"parameter), a table as `{{{name}}}`",
                match.start(),
            )


def _whole(piece: Piece) -> Slot | None:
    """The slot, when a quoted literal is exactly one template."""
    template = parse(piece.body) if piece.kind == "string" and "b" not in piece.prefix else None
    return template.whole if template is not None else None


def _merge(parts: list[str | Identifier]) -> tuple[str | Identifier, ...]:
    merged: list[str | Identifier] = []
    for is_text, group in groupby(parts, key=lambda part: isinstance(part, str)):
        if is_text:
            merged.append("".join(str(part) for part in group))
        else:
            merged.extend(group)
    return tuple(merged)
