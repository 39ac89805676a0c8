r"""The words of `model_match`: which reported model names a row of a price list is for.

`name`, `prefix*`, `*part*`, or `~pattern`. A pattern is a regular expression whose only repetition is by number:
letters, digits, `\d`, `\.`, `[…]`, `{4}`, and `^` and `$` at its ends, at most 200 characters. It takes linear time on
any name, so a mistake in a price list cannot stop a server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

PATTERN_MAX: Final = 200
_PATTERN: Final = re.compile(r"~\^?(?:(?:[\w.@:/-]|\\[d.]|\[[\w.@-]{1,20}\])(?:\{\d{1,2}\})?)+\$?", re.ASCII)


def is_pattern(word: str) -> bool:
    """Whether the word means more than one name."""
    return word.startswith("~") or "*" in word


def unreadable(patterns: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the patterns (word → model)."""
    found = []
    for word, model in patterns.items():
        if not word.startswith("~"):
            continue
        if len(word) > PATTERN_MAX or not _PATTERN.fullmatch(word) or not _compiles(word):
            found.append(
                rf"{model}: model_match {word[:PATTERN_MAX]!r} cannot be used: a pattern has at most {PATTERN_MAX}"
                r" characters and consists of letters, digits, \d, \., [...], {4}, ^ and $; or write prefix* or *part*"
            )
    return found


def fits(word: str, name: str) -> bool:
    """Whether the rule matches a name in lower case."""
    if word.startswith("~"):
        return re.search(word[1:], name) is not None
    if word.startswith("*"):
        return word.strip("*") in name
    return name.startswith(word.rstrip("*"))


def rank(word: str) -> tuple[int, int]:
    """Return how exact a word is; the greatest wins."""
    return ({"~": 3, "*": 1}.get(word[0], 2), len(word))


def _compiles(word: str) -> bool:
    try:
        re.compile(word[1:])
    except re.error:  # [z-a]
        return False
    return True
