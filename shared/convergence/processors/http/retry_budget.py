"""How long to be patient with a busy API."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

_A_YEAR_S: Final = 365 * 86_400  # a number above it is a point in time, not a wait


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudget:
    """How long to try in place. Waits grow as base × 2^n up to `wait_max_s`, then full jitter takes a part."""

    attempts_max: int = 5
    wait_base_s: float = 0.5
    wait_max_s: float = 20.0
    retry_after_max_s: float = 60.0  # a longer wish is left to the engine
    answer_s: float = 60.0
    retry_on_429: bool = True  # False: a busy answer goes to the engine's retry at once


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Return the wait that an answer asks for: `retry-after-ms`, or `retry-after` as seconds or HTTP date."""
    with contextlib.suppress(KeyError, ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    text = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(text))
    with contextlib.suppress(ValueError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    return None


def rate_limit_wait_s(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds until a used-up limit opens again: `x-ratelimit-remaining: 0`, `x-ratelimit-reset`.

    None when the headers speak of no limit, or of one with something left. A reset is Unix seconds or seconds to wait.
    """
    if headers.get("x-ratelimit-remaining", "").strip() != "0":
        return None
    with contextlib.suppress(ValueError):
        reset = float(headers.get("x-ratelimit-reset", ""))
        return max(0.0, reset - now if reset > _A_YEAR_S else reset)
    return 0.0
