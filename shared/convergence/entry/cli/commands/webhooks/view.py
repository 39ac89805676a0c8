"""How the commands of `convergence webhooks` print a webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.entry.cli.session import Session


def print_webhook(session: Session, view: Mapping[str, Any]) -> None:
    """Print what is known of a webhook, a line for each field that has a value; a new secret has its own line."""
    if session.out.json:
        session.out.data(dict(view))
        return
    for name, value in view.items():
        if name == "secrets":
            for each in value:
                until = "" if each["expires_at"] is None else f", signs until {each['expires_at']}"
                session.out.line(f"{name:<12} {each['secret_id']} of {each['created_at']}{until}")
        elif name != "secret" and value not in (None, ""):
            session.out.line(f"{name:<12} {_shown(value)}")
    if "secret" in view:
        session.out.note("the secret; keep it now, it cannot be shown again:")
        session.out.line(view["secret"])


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
