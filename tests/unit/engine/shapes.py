"""Pipelines of a shape."""

from __future__ import annotations


def chain(length: int) -> str:
    return "".join(
        f"  - {{step_id: s{i}, ps_type: generic.noop{f', depends_on: s{i - 1}' if i else ''}}}\n" for i in range(length)
    )
