"""What a billing system's words mean for an org."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from convergence.errors import InvalidInput, did_you_mean

STATUS: Final[Mapping[str, str]] = {
    "trialing": "TRIAL",
    "active": "ACTIVE",
    "past_due": "SUSPENDED",
    "paused": "SUSPENDED",
    "incomplete": "SUSPENDED",
    "canceled": "CANCELLED",
}


def subscription_status(word: str) -> str:
    """Return ACTIVE, TRIAL, SUSPENDED or CANCELLED. Raises `InvalidInput` for a word that no billing system says."""
    if word not in STATUS:
        raise InvalidInput(f"{word!r} is no subscription status.{did_you_mean(word, STATUS)}")
    return STATUS[word]
