"""Names in SQL: quoting for BigQuery, and the check for names that need no quoting."""

from __future__ import annotations

import re
from typing import Final

from convergence.errors import InvalidInput

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def checked(name: str, what: str = "name") -> str:
    """Return `name` when it can be used in SQL as an identifier.

    Raises:
        InvalidInput: it contains anything but letters, digits and underscores, or begins with a digit.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} cannot be a {what}: letters, digits and underscores only, no digit first.")
    return name


def bigquery_name(*parts: str) -> str:
    """Return `` `project.dataset.table` `` for BigQuery.

    Raises:
        InvalidInput: a part has a backtick, a backslash or a control character, which no BigQuery name can have.
    """
    for part in parts:
        if "`" in part or "\\" in part or _CONTROL.search(part):
            raise InvalidInput(
                f"{part!r} cannot be a name in BigQuery: it has a backtick, a backslash or a control character."
            )
    return "`" + ".".join(parts) + "`"
