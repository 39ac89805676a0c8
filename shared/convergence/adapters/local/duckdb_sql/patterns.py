"""Format patterns, cut into pieces: `FORMAT('%05d %s')` and `FORMAT_DATE('%F')`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from convergence.errors import StepFailed

_CONVERSION: Final = re.compile(
    r"%(?P<flags>[-+ #0']*)(?P<width>\d+|\*)?(?:\.(?P<precision>\d+|\*))?(?P<letter>[a-zA-Z%])"
)
# strftime elements that DuckDB spells otherwise; the rest of `_PLAIN` it has too. GoogleSQL: "Format elements".
_SPELLED: Final = {
    "F": "%Y-%m-%d",
    "T": "%H:%M:%S",
    "D": "%m/%d/%y",
    "R": "%H:%M",
    "h": "%b",
    "x": "%m/%d/%y",
    "X": "%H:%M:%S",
    "c": "%a %b %-d %H:%M:%S %Y",
    "E4Y": "%Y",
    "n": "\n",
    "t": "\t",
}
_PLAIN: Final = frozenset("aAbBdHIjmMpSuUVwWyYG%")
SPECIAL: Final = re.compile(
    r"(%%|%Q|%e|%k|%l|%-d|%-H|%-I|%E\*S|%E\dS|%S\.%f|%P|%s|%J|%g|%C|%Y|%G|%Ez|%z|%Z)"
)  # elements that need more than strftime
_ELEMENT: Final = re.compile(r"%(E4Y|E\*S|E\dS|Ez|-?[a-zA-Z%])")
_CLOCKS: Final = frozenset({"H", "I", "k", "l", "M", "p", "P", "R", "S", "T", "X", "s", "-H", "-I", "f"})
_ZONES: Final = frozenset({"z", "Z", "Ez"})
_DAYS: Final = frozenset(
    {"A", "a", "B", "b", "h", "C", "c", "D", "d", "-d", "e", "F", "G", "g", "j", "J", "m", "Q", "s", "U", "u", "V", "W"}
    | {"w", "x", "Y", "y", "E4Y"}
)
# What a value of the type does not have, so that its format may not use it.
_LACKING: Final = {"DATE": _CLOCKS | _ZONES, "TIME": _DAYS | _ZONES, "DATETIME": _ZONES, "TIMESTAMP": frozenset[str]()}
# What of a regular expression in RE2's syntax holds no groups: quoted text, escaped signs, classes (`[[:alpha:](]`).
_GROUPLESS: Final = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*(?:\]|\Z)", re.DOTALL)
_GROUP: Final = re.compile(r"\((?:\?P?<|[^?]|$)")


@dataclass(frozen=True, slots=True)
class Conversion:
    """One `%…` of FORMAT. `width` and `precision` are None when they are not written."""

    flags: str
    width: int | None
    precision: int | None
    letter: str


def format_pieces(pattern: str) -> Iterator[str | Conversion]:
    """Yield literal text and conversions of a FORMAT pattern, in order; `%%` is text.

    Raises:
        StepFailed: `%` without a letter, or a width that an argument gives.
    """
    position = 0
    while position < len(pattern):
        sign = pattern.find("%", position)
        if sign < 0:
            yield pattern[position:]
            return
        if sign > position:
            yield pattern[position:sign]
        found = _CONVERSION.match(pattern, sign)
        if found is None or "*" in {found["width"], found["precision"]}:
            raise StepFailed(f"FORMAT: {pattern[sign : sign + 4]!r} cannot be used here.")
        position = found.end()
        if found["letter"] == "%":
            yield "%"
            continue
        if any(len(found[name] or "") > 4 for name in ("width", "precision")):
            raise StepFailed(f"FORMAT: {found[0]!r} is wider than 9,999 characters.")
        width, precision = (None if found[name] is None else int(found[name]) for name in ("width", "precision"))
        yield Conversion(found["flags"], width, precision, found["letter"])


def groups_of(pattern: str) -> int:
    """Return how many groups a regular expression captures. RE2 says whether it is one."""
    return len(_GROUP.findall(_GROUPLESS.sub("c", pattern)))  # a sign in its place: `([a-z]?)` is a group, `(?)` is not


def check_elements(pattern: str, kind: str) -> None:
    """Raise `StepFailed` when a format asks for a part that a value of this type does not have."""
    for element in _ELEMENT.findall(pattern):
        if element in _LACKING[kind] or (kind == "DATE" and element[0] == "E" and element[-1] == "S"):
            hint = " %c, %R, %T and %X ask for hours too." if element == "H" else ""
            raise StepFailed(f"The format element %{element} is not one of {kind}.{hint}")


def date_format(pattern: str, *, parsing: bool = False) -> str:
    """Return DuckDB's strftime pattern for a GoogleSQL one.

    Raises:
        StepFailed: an element that cannot be formatted here, by name.
    """

    def spelled(found: re.Match[str]) -> str:
        element = found.group(1)
        if element in _PLAIN:
            return found.group(0)
        if parsing and element in {"z", "Ez", "Z"}:
            return "%z" if element != "Z" else "%Z"
        if parsing and element in {"e", "k", "l"}:
            return {"e": "%d", "k": "%H", "l": "%I"}[element]
        if parsing and (element == "E*S" or (element[0] == "E" and element[-1] == "S")):
            return "%S.%f"
        if parsing and element == "f":
            return "%f"
        if parsing and element in {"-d", "-H", "-I"}:
            return {"-d": "%d", "-H": "%H", "-I": "%I"}[element]
        if element not in _SPELLED:
            raise StepFailed(f"The format element %{element} cannot be used here.")
        return _SPELLED[element]

    return _ELEMENT.sub(spelled, pattern)
