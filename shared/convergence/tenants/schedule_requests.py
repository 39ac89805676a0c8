"""Requests to bring an org's schedules in line: stored in the commit that makes them necessary, so none is lost."""

from __future__ import annotations

from typing import Final

from convergence.ports.documents import Create

REQUESTS: Final = "schedule_requests"


def schedule_request(org: str, cause: str) -> Create:
    """Return the write; `cause` is unique to the commit, such as its token."""
    return Create(f"{REQUESTS}/{org}.{cause}", {"org": org})
