"""Decodes the parts of a text that are base64, base32, hex or the numbers of bytes.

An encoder inside another one (a Basic header in a body that is logged as base64) writes characters that no form of
a secret predicts. So what looks encoded is decoded, and searched like any other text.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

_SHORTEST: Final = 16  # characters; a shorter code holds nothing that is looked for
_BREAK: Final = r"(?:(?:\r?\n|\\r\\n|\\n)[ \t]*)"  # encoders of mail and of keys write lines
_IGNORED: Final = re.compile(r"\\[rn]|[\s=]")
_BETWEEN: Final = r"(?:\\[rn]|[\s:.,;_=-]){0,8}(?:0[xX])?"  # bytes: 73:6b, 73-6b, 0x73, 0x6b, =73=6B
_NOT_HEX: Final = re.compile(r"0[xX](?=[0-9a-fA-F]{2})|[^0-9a-fA-F]")
_DECIMAL: Final = re.compile(r"[0-9]+")
PADDING: Final = re.compile(r"(?:=|%(?:25)*3[dD]|\\+u003[dD]|&#61;|&#[xX]3[dD];|&equals;){0,6}")
_READABLE: Final = re.compile(
    rb"(?:[\t\n\r\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}){6}"
)  # codes of other things than texts are not


class Decoded(NamedTuple):
    """`text` is what `source[start:end]` decodes to, from one of the characters at which a code may begin."""

    start: int
    end: int
    text: str


def decoded(source: str) -> Iterator[Decoded]:
    """Yield what may be encoded in a text. The time is linear in the text."""
    for pattern, strip, unit, decode in _CODES:
        for match in pattern.finditer(source):
            code = strip.sub("", match[0])
            for first in range(unit):
                data = _decoded(decode, code[first:], unit)
                data = data.replace(b"\0", b"")  # UTF-16 has a zero beside each character of ASCII
                if _READABLE.search(data) is not None:
                    yield Decoded(match.start(), match.end(), data.decode(errors="replace"))


def _decoded(decode: Callable[[str], bytes], code: str, unit: int) -> bytes:
    """Decode all of a code; without its last characters if they are not a whole unit, also when padded."""
    for tried in (code + "=" * (-len(code) % unit), code[: len(code) - len(code) % unit]):
        try:
            return decode(tried)
        except (binascii.Error, ValueError):
            continue
    return b""


def _runs(alphabet: str, padding: str) -> re.Pattern[str]:
    return re.compile(rf"[{alphabet}]{{{_SHORTEST},}}(?:{_BREAK}[{alphabet}]+)*{padding}")


def _numbers(code: str) -> bytes:
    return bytes(int(number) for number in _DECIMAL.findall(code))


_Code = tuple[re.Pattern[str], re.Pattern[str], int, Callable[[str], bytes]]
_NOTHING: Final = re.compile(r"(?!)")
_CODES: Final[tuple[_Code, ...]] = (
    (
        _runs("A-Za-z0-9+/_-", "={0,2}"),
        _IGNORED,
        4,
        lambda code: base64.b64decode(code.replace("-", "+").replace("_", "/")),
    ),
    (_runs("A-Z2-7", "={0,6}"), _IGNORED, 8, base64.b32decode),
    (re.compile(rf"[0-9a-fA-F]{{2}}(?:{_BETWEEN}[0-9a-fA-F]{{2}}){{5,}}"), _NOT_HEX, 2, bytes.fromhex),
    (re.compile(r"[0-9]{1,3}(?:[,;\s]{1,4}[0-9]{1,3}){5,}"), _NOTHING, 1, _numbers),
)
