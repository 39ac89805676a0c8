"""How large a plan may become: variables that name each other multiply, so every text is measured as it is filled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

TEXT_MAX: Final = 1 << 20  # characters of one filled string
PLAN_MAX: Final = 8 << 20  # characters of all that is filled in one plan
DEPTH_MAX: Final = 200  # of lists and mappings; the JSON writer supports 254 levels


class TooLarge(ValueError):
    """A text or a plan would be over its limit. The message is a sentence."""


class Weights:
    """Sizes of JSON values. Shared lists and mappings are measured once: a few lines of names can expand to more than
    fits in any memory. Measured values have to stay alive as long as this does.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int]] = {}  # id → characters and depth

    def of(self, value: Any) -> int:
        """Return about how many characters a value takes, counting a shared part each time it appears.

        Raises:
            TooLarge: it is nested deeper than DEPTH_MAX.
        """
        return self._measured(value)[0]

    def _measured(self, value: Any) -> tuple[int, int]:
        if isinstance(value, str):
            return len(value) + 2, 0
        if not isinstance(value, list | tuple | Mapping):
            return 8, 0
        if id(value) not in self._known:
            inner = [*value.keys(), *value.values()] if isinstance(value, Mapping) else value
            size, depth = 2, 0
            for each in inner:
                more, below = self._measured(each)
                size, depth = size + more, max(depth, below)
            if depth >= DEPTH_MAX:
                raise TooLarge(f"the value would be nested deeper than {DEPTH_MAX} levels")
            self._known[id(value)] = (size, depth + 1)
        return self._known[id(value)]


class Values(dict[str, Any]):
    """The names of one plan with their values; `left` counts down what may still be filled."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.left = PLAN_MAX
        self._weights = Weights()

    def check(self, value: Any) -> None:
        """Raise `TooLarge` for a value that stays here, if no text could spell it out."""
        if self._weights.of(value) > PLAN_MAX:
            raise TooLarge(f"the value would have more than {PLAN_MAX:,} characters: use fewer or shorter values")

    def spend(self, size: int) -> None:
        """Subtract `size` characters from what is left. Raises `TooLarge` when none are left."""
        self.left -= size
        if self.left < 0:
            raise TooLarge(f"the plan would have more than {PLAN_MAX:,} characters: use fewer or shorter values")


def joined(pieces: Iterable[str], scope: Mapping[str, Any], where: str = "") -> str:
    """Join the pieces of a text. Raises `TooLarge`; `where` is the text's key path for the message."""
    found: list[str] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > TEXT_MAX:
            subject = f"{where} would become" if where else "a string would become"
            raise TooLarge(f"{subject} longer than {TEXT_MAX:,} characters: use fewer or shorter values")
        found.append(piece)
    if isinstance(scope, Values):
        scope.spend(size)
    return "".join(found)
