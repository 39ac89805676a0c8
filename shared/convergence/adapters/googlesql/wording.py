"""The parser's messages about syntax errors in GoogleSQL's terms: its own name its classes and internal tokens."""

from __future__ import annotations

import difflib
import re
from typing import Final

_WORDS: Final = (
    *("SELECT", "DISTINCT", "FROM", "WHERE", "GROUP", "HAVING", "QUALIFY", "ORDER", "LIMIT", "OFFSET", "UNION"),
    *("JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "USING", "WINDOW", "PARTITION", "INSERT", "INTO", "VALUES"),
    *("UPDATE", "DELETE", "MERGE", "WHEN", "MATCHED", "THEN", "BETWEEN", "EXISTS", "INTERVAL", "EXCEPT", "CASE"),
    *("CREATE", "TABLE", "REPLACE", "TRUNCATE", "ALTER", "COLUMN"),
)
_LAST_WORD: Final = re.compile(r"([A-Za-z_]{3,40})\s*\Z")
_TABLE: Final = {
    "Invalid expression / Unexpected token": "it is not expected here",
    "Expected TYPE after CAST": "CAST needs a type that exists, such as CAST(x AS INT64)",
    "Expected AS after CAST": "CAST needs AS and a type, such as CAST(x AS INT64)",
    "Failed to parse any statement following CTE": "after WITH a SELECT is expected",
}
_PATTERNS: Final = (
    (re.compile(r"Expected (table|database) name but got .*", re.DOTALL), r"the name of a \1 is expected"),
    (re.compile(r"Required keyword: .*", re.DOTALL), "something is missing: an argument, a value or a clause"),
    (re.compile(r"INTERVAL expression expected.*", re.DOTALL), "INTERVAL needs a value and a part: INTERVAL 1 DAY"),
    (re.compile(r"Error tokenizing .*", re.DOTALL), "a quoted text, a name in backticks or a comment is not closed"),
    (re.compile(r"(?:Expecting|Expected)(?: either)? (.*)", re.DOTALL), r"\1 is expected"),
)
_INTERNAL: Final = re.compile(r"<class|<Token|TokenType|SENTINEL|sqlglot|AST node")


def described(text: str) -> str:
    """Return the parser's sentence in GoogleSQL's terms."""
    if text in _TABLE:
        return _TABLE[text]
    for pattern, instead in _PATTERNS:
        if found := pattern.fullmatch(text):
            text = found.expand(instead)
            break
    return "this is not GoogleSQL" if _INTERNAL.search(text) else text.rstrip(".")


def hint(before: str, token: str) -> str:
    """Return ` Did you mean FROM instead of FORM?` for a keyword with a slip in it, at the error or before it.

    `before` is the text up to the token.
    """
    previous = _LAST_WORD.search(before)
    for word in (previous[1] if previous else "", token):
        if word.isalpha() and word.upper() not in _WORDS:
            close = difflib.get_close_matches(word.upper(), _WORDS, n=1, cutoff=0.75)
            if close:
                return f" Did you mean {close[0]} instead of {word}?"
    return ""
