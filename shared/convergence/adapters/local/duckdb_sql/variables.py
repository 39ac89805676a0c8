"""Variables of a script: typed, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from convergence.adapters.googlesql.types import SqlType
from convergence.errors import StepFailed, did_you_mean


@dataclass(slots=True)
class Variable:
    """A typed value; `value` is NULL (None) until it is set."""

    type: SqlType
    value: Any = None


def as_value(variable: Variable) -> Any:
    """Return the value as DuckDB takes it back: JSON goes as text."""
    if variable.type.name == "JSON" and variable.value is not None:
        return orjson.dumps(variable.value).decode()
    return variable.value


@dataclass(slots=True)
class Variables:
    """Blocks of variables, the innermost last. Names are compared without case."""

    blocks: list[dict[str, Variable]] = field(default_factory=lambda: [{}])

    def declare(self, name: str, kind: SqlType, value: Any) -> None:
        """Add a variable to the innermost block. Raises `StepFailed` when the block has it."""
        if name.lower() in self.blocks[-1]:
            raise StepFailed(f"The variable {name!r} is declared twice.")
        self.blocks[-1][name.lower()] = Variable(kind, value)

    def get(self, name: str) -> Variable:
        """Return a variable. Raises `StepFailed` with the nearest names."""
        for block in reversed(self.blocks):
            if name.lower() in block:
                return block[name.lower()]
        raise StepFailed(f"No variable is called {name!r}.{did_you_mean(name, self.visible())}")

    def visible(self) -> dict[str, Variable]:
        """Return all variables in scope by name in lower case."""
        merged: dict[str, Variable] = {}
        for block in self.blocks:
            merged.update(block)
        return merged

    @contextmanager
    def block(self) -> Iterator[None]:
        """Variables declared inside are gone afterwards."""
        self.blocks.append({})
        try:
            yield
        finally:
            self.blocks.pop()
