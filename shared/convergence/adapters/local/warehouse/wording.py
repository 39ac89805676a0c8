"""DuckDB's messages about a statement, in terms of the GoogleSQL that the author wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from convergence.errors import did_you_mean

_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("INTEGER_LITERAL", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), "INT64"),
    **dict.fromkeys(("STRING_LITERAL", "VARCHAR"), "STRING"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "FLOAT64"),
    "BOOLEAN": "BOOL",
    "BLOB": "BYTES",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    "TIMESTAMP": "DATETIME",
}
_TYPE: Final = re.compile(r"\b(" + "|".join(sorted(_TYPES, key=len, reverse=True)) + r")\b")
_ONLY_HERE: Final = re.compile(r"\b(INTEGER_LITERAL|STRING_LITERAL|VARCHAR|HUGEINT|BIGINT|DOUBLE)\b")  # no word of ours
_DECIMAL: Final = re.compile(r"\bDECIMAL\(\d+,\s*\d+\)")
_REST: Final = re.compile(r"\n[^\S\n]*(?:Candidate|Use \"SET|Either add|Hint).*", re.DOTALL)


def _grouped(found: re.Match[str]) -> str:
    return (
        f"Column {found[1]!r} is neither grouped nor aggregated: add it to GROUP BY, or take any of its values "
        f"with ANY_VALUE({_written(found[1])})."
    )


def _no_alias(found: re.Match[str]) -> str:
    known = re.findall(r'"([^"]+)"', found[2])
    return f"There is no table or alias {found[1]!r} in this statement.{did_you_mean(found[1], known)}"


def _no_field(found: re.Match[str]) -> str:
    known = re.findall(r'"([^"]+)"', found[2])
    return f"The STRUCT has no field {found[1]!r}.{did_you_mean(found[1], known)}"


def _no_function(found: re.Match[str]) -> str:
    name = found[1].rpartition(".")[2].upper()
    return f"{name} does not take ({_types(found[2])}): CAST its arguments."


_SENTENCES: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), sentence)
    for pattern, sentence in (
        (r'column "([^"]+)" must appear in the GROUP BY clause.*', _grouped),
        (r'Referenced table "([^"]+)" not found!(.*)', _no_alias),
        (r'Could not find key "([^"]+)" in struct(.*)', _no_field),
        (r"No function matches the given name and argument types '([\w.]+)\(([^']*)\)'.*", _no_function),
        (
            r"Cannot extract field '([^']+)' from expression \"(.*?)\" because.*",
            lambda found: f"{found[2]!r} has no field {found[1]!r}: it is not a STRUCT.",
        ),
        (
            r"Ambiguous reference to column name \"([^\"]+)\".*",
            lambda found: f"Several tables have a column {found[1]!r}: write the alias of one before it.",
        ),
        (
            r"Set operations can only apply to expressions with the same number of result columns.*",
            lambda _: "All SELECTs of a UNION, INTERSECT or EXCEPT need the same number of columns.",
        ),
        (
            r"Window functions are not supported here.*|.*cannot contain window functions!?",
            lambda _: "An analytic function needs OVER (…) and is allowed in SELECT, QUALIFY or ORDER BY only.",
        ),
        (
            r"aggregate function calls cannot be nested.*",
            lambda _: "An aggregate of an aggregate is not possible: compute the inner one in a subquery.",
        ),
        (
            r"(\w+(?: BY)?) clause cannot contain aggregates!",
            lambda found: f"{found[1]} cannot contain an aggregate: use HAVING, or a subquery.",
        ),
        (
            r"(ORDER|GROUP BY) term out of range - should be between (\d+) and (\d+)",
            lambda found: (
                f"A number in {found[1].removesuffix(' BY')} BY is the position of a column in the SELECT list: "
                f"{found[2]} to {found[3]}."
            ),
        ),
        (
            r"More than one row returned by a subquery.*",
            lambda _: "A subquery used as a value returned more than one row: use LIMIT 1 or an aggregate.",
        ),
        (
            r"Could not parse string \"(.*?)\" according to format specifier \"(.*?)\".*",
            lambda found: f"The text {found[1]!r} does not have the format {found[2]!r}.",
        ),
        (
            r"Unimplemented type for cast \((.+) -> (.+)\).*",
            lambda found: f"{_types(found[1])} is not possible where {_types(found[2])} is needed.",
        ),
    )
)


def in_googlesql(text: str) -> str:
    """Return DuckDB's message in GoogleSQL's terms, without its advice, which names DuckDB's functions and types."""
    for pattern, sentence in _SENTENCES:
        if found := pattern.fullmatch(text.strip()):
            return sentence(found)
    return _ONLY_HERE.sub(lambda found: _TYPES[found[1]], _REST.sub("", text).rstrip())


def _types(text: str) -> str:
    return _TYPE.sub(lambda found: _TYPES[found[1]], _DECIMAL.sub("NUMERIC", text))


def _written(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else f"`{name}`"
