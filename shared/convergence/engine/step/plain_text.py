"""A text with its escapes undone, that knows where each of its characters came from."""

from __future__ import annotations

import html
import re
import sys
from dataclasses import dataclass
from typing import Final
from unicodedata import normalize

_ROUNDS_MAX: Final = 6  # of escapes inside escapes; each is one pass over the text
# Invisible characters (controls, joiners, soft hyphens, marks of direction, variants): they break a word for a search,
# but not for a reader. Terminal colours are sequences of them.
_UNSEEN: Final = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffd\U000e0000-\U000e0fff"
)
_MARKS: Final = re.compile(rf"[\\%&\s+{_UNSEEN}]")
_ESCAPE: Final = re.compile(
    r"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?:\\|%)u(?P<unicode>[0-9a-fA-F]{4})"
    r"|(?:\\u|\\x)\{(?P<code>[0-9a-fA-F]{1,6})\}"
    r"|\\U(?P<long>000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4})"
    r"|(?P<bytes>(?:%[0-9a-fA-F]{2})+|(?:\\x[0-9a-fA-F]{2})+)"
    r"|(?P<octal>(?:\\[0-3][0-7]{2})+)"
    r"|&(?P<entity>#[0-9]{1,7};|#[xX][0-9a-fA-F]{1,6};|[a-zA-Z]{2,24};)"
    rf"|\\[\s{_UNSEEN}]*(?P<char>.?)"
    r"|(?:\x1b\[[0-9;]{0,16}[a-zA-Z]|"
    rf"[\s+{_UNSEEN}])+",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class PlainText:
    """`text[i]` was written at `starts[i]` to `ends[i]` of the original."""

    text: str
    starts: range | list[int]
    ends: range | list[int]


def plain(text: str) -> PlainText:
    r"""Undo escapes of JSON, Python, C, URLs and HTML, nested ones too; drop spaces, `+`, `\` and the invisible.

    Variants of characters (full width, bold) become the plain ones. White space and `+` are dropped because encoders
    break lines and write a space as `+`. The time is linear in the text.
    """
    if not text.isascii():
        text = "".join(_unvaried(char) for char in text)
    found = PlainText(text, range(len(text)), range(1, len(text) + 1))
    for _ in range(_ROUNDS_MAX):
        if _MARKS.search(found.text) is None:
            break
        after = _once(found)
        if after.text == found.text:
            break
        found = after
    return found


def _unvaried(char: str) -> str:
    plainest = normalize("NFKC", char)
    return plainest if len(plainest) == 1 else char


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
        each = (end - begin) // len(written) if _bytes(match) and len(written) * _unit(match) == end - begin else 0
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


def _bytes(match: re.Match[str]) -> bytes:
    if octal := match["octal"]:
        return bytes(int(number, 8) for number in octal.split("\\")[1:])
    return bytes.fromhex(re.sub(r"%|\\x", "", match["bytes"] or ""))


def _unescaped(match: re.Match[str]) -> str:
    if match["pair"]:
        high, low = int(match["pair"][2:6], 16), int(match["pair"][8:12], 16)
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    if number := match["unicode"] or match["code"] or match["long"]:
        return chr(min(int(number, 16), sys.maxunicode))
    if data := _bytes(match):
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data.decode("latin-1")
    if match["entity"]:
        return html.unescape(match[0])
    if match["char"] is not None:
        return "" if match["char"] in "nrtbfv" else match["char"]
    return ""
