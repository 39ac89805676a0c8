"""How the commands of `convergence schedule` print a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from convergence.entry.cli.session import Session


def print_schedule(session: Session, view: Mapping[str, Any]) -> None:
    """Print what is known of a schedule, a line for each field that has a value."""
    if session.out.json:
        session.out.data(dict(view))
        return
    for name, value in view.items():
        if value not in (None, "", {}, []):
            shown = orjson.dumps(value).decode() if isinstance(value, dict) else value
            session.out.line(f"{name:<17} {shown}")
