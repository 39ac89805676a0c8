"""The closed tree of a condition: values, names, lists and operations, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    """A JSON value, written down."""

    value: Any


@dataclass(frozen=True, slots=True)
class Name:
    """A reference. `path[0]` is parameters, variables, results, or empty for a template."""

    path: tuple[str, ...]

    @property
    def dotted(self) -> str:
        """The name as a template would have it."""
        return ".".join(part for part in self.path if part)


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """`not` (one operand), `and`, `or`, or a comparison (two)."""

    operator: str
    operands: tuple[Expression, ...]


Expression = Literal | Name | Items | Operation
