r"""The patterns of `model_match`: the reported model names that a row of a price list covers.

`name`, `prefix*`, `*part*`, or `~pattern`. A pattern is a regular expression whose only repetition is by number:
letters, digits, `\d`, `\.`, `[…]`, `{4}`, and `^` and `$` at its ends, at most 200 characters. It takes linear time on
any name, so a mistake in a price list cannot stop a server.

What a prefix or a part leaves open can be a snapshot of that model, never another model: `gpt-4o-audio*` covers
`gpt-4o-audio-preview-2024-10-01`, but not `gpt-4o-audio-turbo`, whose price is not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

PATTERN_MAX: Final = 200
# Ends of a name that identify a snapshot of a model: dates, versions, aliases, the ids of fine-tuned ones.
_SNAPSHOT: Final = re.compile(
    r"(?:[-@](?:\d{8}|\d{4}-\d{2}-\d{2}|\d{3,4}|latest|default|preview|stable)|-v\d{1,2}(?::\d{1,2})?|:\d{1,2}|\.ft-\w{1,64})$"
)
_SNAPSHOT_PARTS: Final = 4  # -preview-2024-10-01-v1:0
_SELLER: Final = re.compile(r"(?:[a-z]{1,20}[.-])?")  # anthropic.claude-v2, text-moderation-007
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
    part = word.strip("*")
    start = name.find(part) if word.startswith("*") else 0 if name.startswith(part) else -1
    return start >= 0 and bool(_SELLER.fullmatch(name[:start])) and len(_model(name)) <= start + len(part)


def _model(name: str) -> str:
    """Return the name without its snapshot."""
    if name.startswith("ft:"):
        name = ":".join(name.split(":")[:2])
    for _ in range(_SNAPSHOT_PARTS):
        name = _SNAPSHOT.sub("", name)
    return name


def rank(word: str) -> tuple[int, int]:
    """Return how exact a pattern is; the greatest wins."""
    return ({"~": 3, "*": 1}.get(word[0], 2), len(word))


def _compiles(word: str) -> bool:
    try:
        re.compile(word[1:])
    except re.error:  # [z-a]
        return False
    return True
