"""Copies of frozen records."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")


def changed(record: T, **changes: Any) -> T:
    """Return a copy with `changes`: `dataclasses.replace` at a fifth of its cost, made on every move of a step.

    For dataclasses without slots and without `__post_init__`; cached properties must not depend on what changes.
    """
    copy = object.__new__(type(record))
    copy.__dict__.update(record.__dict__)
    copy.__dict__.update(changes)
    return copy
