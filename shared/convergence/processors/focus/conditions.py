"""Conditions of a row as trees, so that what is the same for every row is decided before rows are checked for the rest.

A condition is TRUE or FALSE by itself, the SQL of one comparison, or several of these joined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Joined:
    """Two conditions or more with AND or OR, or one with NOT."""

    word: Literal["AND", "OR", "NOT"]
    parts: tuple[Condition, ...]


Condition: TypeAlias = "bool | str | Joined"


def negated(condition: Condition) -> Condition:
    """Return the opposite."""
    if isinstance(condition, bool):
        return not condition
    if isinstance(condition, Joined) and condition.word == "NOT":
        return condition.parts[0]
    return Joined("NOT", (condition,))


def joined(word: Literal["AND", "OR"], conditions: Iterable[Condition]) -> Condition:
    """Return several conditions as one, without those that have no effect."""
    decisive = word == "OR"  # one TRUE decides an OR, one FALSE an AND
    parts = tuple(dict.fromkeys(each for each in conditions if each is not (not decisive)))
    if any(each is decisive for each in parts):
        return decisive
    if len(parts) < 2:
        return parts[0] if parts else not decisive
    return Joined(word, parts)


def comparisons(condition: Condition) -> Iterator[str]:
    """Yield the SQL of each comparison, from left to right."""
    if isinstance(condition, str):
        yield condition
    elif isinstance(condition, Joined):
        for part in condition.parts:
            yield from comparisons(part)


def replaced(condition: Condition, by: Callable[[str], Condition]) -> Condition:
    """Return the condition with another one in place of each comparison."""
    if isinstance(condition, str):
        return by(condition)
    if not isinstance(condition, Joined):
        return condition
    parts = [replaced(part, by) for part in condition.parts]
    return negated(parts[0]) if condition.word == "NOT" else joined(condition.word, parts)


def written(condition: Condition) -> str:
    """Return the condition as SQL, in parentheses where it needs some."""
    if isinstance(condition, bool):
        return "TRUE" if condition else "FALSE"
    if isinstance(condition, str):
        return condition
    if condition.word == "NOT":
        return f"(NOT {written(condition.parts[0])})"
    return "(" + f" {condition.word} ".join(map(written, condition.parts)) + ")"
