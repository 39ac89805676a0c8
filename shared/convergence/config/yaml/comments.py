"""The comments of a YAML text, with their lines; parsers discard them."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml


class Comment(NamedTuple):
    """`text` begins with `#`; `line` counts from 1. A block at the top of the file that an empty line ends heads it."""

    text: str
    line: int
    heads_file: bool


def comments_of(text: str) -> list[Comment]:
    """Return the comments in order. The text must be YAML."""
    lines = text.splitlines()
    ends = _ends(text)
    found = [
        (number, rest.strip())
        for number, line in enumerate(lines)
        if (rest := line[ends.get(number, 0) :]).strip().startswith("#") and ends.get(number, 0) <= len(line)
    ]
    first = min((number for number in ends if ends[number]), default=len(lines))
    return [Comment(comment, number + 1, number < first) for number, comment in found]


def _ends(text: str) -> dict[int, int]:
    """Return, by line, the column after its last token; a line inside a block of text has none left."""
    ends: dict[int, int] = {}
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        start, end = token.start_mark, token.end_mark
        if end.index == start.index:
            continue  # where a block begins or ends: no characters of its own
        for line in range(start.line, end.line):
            ends[line] = 10**9 if line > start.line or _is_block(token) else ends.get(line, 0)
        if not _is_block(token):
            ends[end.line] = max(ends.get(end.line, 0), end.column)
    return ends


def _is_block(token: Any) -> bool:
    return isinstance(token, yaml.ScalarToken) and token.style in {"|", ">"}
