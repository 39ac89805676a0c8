"""How long an answer asks its caller to wait."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

# Azure Cost Management limits query units of a tenant, calls of a client and calls of an entity, each with a wait.
_COST_MANAGEMENT: Final = "x-ms-ratelimit-microsoft.costmanagement-"
_A_YEAR_S: Final = 365 * 86_400  # a number above it is a point in time, not a wait


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Return the wait that an answer asks for: `retry-after-ms`, or `retry-after` as seconds or HTTP date.

    For Azure Cost Management it is the longest of these and its own headers. `now` is Unix seconds. A wait is at most a
    year; None without a header that gives one (RFC 9110, section 10.2.3).
    """
    waits = [wait for wait in (_standard(headers, now), *_cost_management(headers)) if wait is not None]
    return max(waits, default=None)


def _cost_management(headers: Mapping[str, str]) -> list[float]:
    found = []
    for name, text in headers.items():
        if name.lower().startswith(_COST_MANAGEMENT) and name.lower().endswith("-retry-after"):
            with contextlib.suppress(ValueError):
                found.append(_bounded(float(text)))
    return found


def _standard(headers: Mapping[str, str], now: float) -> float | None:
    with contextlib.suppress(KeyError, ValueError):
        return _bounded(float(headers["retry-after-ms"]) / 1000)
    text = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return _bounded(float(text))
    with contextlib.suppress(ValueError, OverflowError):
        return _bounded(parsedate_to_datetime(text).timestamp() - now)
    return None


def rate_limit_wait_s(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds until a used-up limit opens again: `x-ratelimit-remaining: 0`, `x-ratelimit-reset`.

    None when the headers name no limit, or one that is not used up. A reset is Unix seconds or seconds to wait.
    """
    if headers.get("x-ratelimit-remaining", "").strip() != "0":
        return None
    with contextlib.suppress(ValueError):
        reset = float(headers.get("x-ratelimit-reset", ""))
        return _bounded(reset - now if reset > _A_YEAR_S else reset)
    return 0.0


def _bounded(seconds: float) -> float:
    if math.isnan(seconds):
        raise ValueError("not a number")
    return min(max(0.0, seconds), float(_A_YEAR_S))
