"""A text with its escapes undone, that knows where each of its characters came from."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Final

_ROUNDS_MAX: Final = 6  # of escapes inside escapes; each is one pass over the text
_MARKS: Final = re.compile(r"[\\%&\s+]")
_ESCAPE: Final = re.compile(
    r"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\u(?P<unicode>[0-9a-fA-F]{4})"
    r"|(?P<bytes>(?:%[0-9a-fA-F]{2})+|(?:\\x[0-9a-fA-F]{2})+)"
    r"|&(?P<entity>#[0-9]{1,7};|#[xX][0-9a-fA-F]{1,6};|[a-zA-Z]{2,6};)"
    r"|\\\s*(?P<char>.?)"
    r"|(?P<space>[\s+]+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class PlainText:
    """`text[i]` was written at `starts[i]` to `ends[i]` of the original."""

    text: str
    starts: range | list[int]
    ends: range | list[int]


def plain(text: str) -> PlainText:
    r"""Undo escapes of JSON, Python, URLs and HTML, also nested ones, and leave out white space, `+` and `\`.

    White space and `+` go because encoders break lines and write a blank as `+`. The time is linear in the text.
    """
    found = PlainText(text, range(len(text)), range(1, len(text) + 1))
    for _ in range(_ROUNDS_MAX):
        if _MARKS.search(found.text) is None:
            break
        after = _once(found)
        if after.text == found.text:
            break
        found = after
    return found


def _once(given: PlainText) -> PlainText:
    texts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    for match in _ESCAPE.finditer(given.text):
        begin, end = match.span()
        texts.append(given.text[done:begin])
        starts += given.starts[done:begin]
        ends += given.ends[done:begin]
        written = _unescaped(match)
        each = (end - begin) // len(written) if match["bytes"] and len(written) * _unit(match) == end - begin else 0
        for index, char in enumerate(written):
            first = begin + index * each
            last = first + each if each else end
            texts.append(char)
            starts.append(given.starts[first])
            ends.append(given.ends[last - 1])
        done = end
    texts.append(given.text[done:])
    starts += given.starts[done:]
    ends += given.ends[done:]
    return PlainText("".join(texts), starts, ends)


def _unit(match: re.Match[str]) -> int:
    return 3 if match[0].startswith("%") else 4


def _unescaped(match: re.Match[str]) -> str:
    if match["pair"]:
        high, low = int(match["pair"][2:6], 16), int(match["pair"][8:12], 16)
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    if match["unicode"]:
        return chr(int(match["unicode"], 16))
    if match["bytes"]:
        data = bytes.fromhex(re.sub(r"%|\\x", "", match["bytes"]))
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data.decode("latin-1")
    if match["entity"]:
        return html.unescape(match[0])
    if match["char"] is not None:
        return "" if match["char"] in "nrtbfv" else match["char"]
    return ""
