"""Warnings for people: of many of one kind the first, with the places of the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_PLACES_MAX: Final = 5
_FILE_PLACE: Final = re.compile(r"\A\S{1,300}?(?::\d{1,9}){1,2}: ")  # file:line:column
_KEY_PATH: Final = re.compile(r"\A[\w.\[\]-]{1,300}: ")  # steps[0].config.x, or a step's id
_VARYING: Final = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")


def one_of_each_kind(texts: Sequence[str]) -> list[str]:
    """Return texts of which no two say the same of other places, names or numbers; the first counts the others."""
    kinds: dict[str, list[str]] = {}
    for text in texts:
        kinds.setdefault(_VARYING.sub("", _without(_KEY_PATH, _without(_FILE_PLACE, text))), []).append(text)
    return [f"{first}{_more(others)}" for first, *others in kinds.values()]


def _without(beginning: re.Pattern[str], text: str) -> str:
    found = beginning.match(text)
    return text if found is None else text[found.end() :]


def _more(others: Sequence[str]) -> str:
    if not others:
        return ""
    found = dict.fromkeys(match[0].rstrip(": ") for match in map(_FILE_PLACE.match, others) if match)
    places = ", ".join(list(found)[:_PLACES_MAX]) + (", …" if len(found) > _PLACES_MAX else "")
    return f" (and {len(others)} more of this kind{f': {places}' if places else ''})"
