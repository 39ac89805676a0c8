"""Names that stand in SQL as they are: nothing else may be put between backticks or quotes."""

from __future__ import annotations

import re
from typing import Final

from convergence.errors import InvalidInput

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def checked(name: str, what: str = "name") -> str:
    """Return `name` when it can stand in SQL as an identifier.

    Raises:
        InvalidInput: it has other signs than letters, digits and underscores, or begins with a digit.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} cannot be a {what}: letters, digits and underscores only, no digit first.")
    return name
