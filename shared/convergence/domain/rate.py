"""Token buckets: so many requests a minute, with bursts up to the same number. Kept by each process for itself.

Exact sharing between processes would make one document hot; a limit against floods need not be exact.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final, NamedTuple

CALLERS_MAX: Final = 10_000


class Taken(NamedTuple):
    """The answer of a bucket. `retry_after_s` is 0 when the request may pass."""

    allowed: bool
    limit: int
    remaining: int
    retry_after_s: float
    reset_s: float  # until the bucket is full again


class Buckets:
    """One bucket for each caller; the one that was quiet for longest goes over the cap (a full one is as good)."""

    def __init__(self, per_minute: int, *, callers_max: int = CALLERS_MAX) -> None:
        self.per_minute = per_minute
        self._callers_max = callers_max
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # caller → tokens, as of

    def take(self, caller: str, now: float) -> Taken:
        """Take a token if there is one. `now` is in seconds and never goes back by much."""
        rate = self.per_minute / 60
        tokens, at = self._buckets.pop(caller, (float(self.per_minute), now))
        tokens = min(float(self.per_minute), tokens + max(0.0, now - at) * rate)
        allowed = tokens >= 1
        if allowed:
            tokens -= 1
        self._buckets[caller] = (tokens, max(at, now))
        if len(self._buckets) > self._callers_max:
            self._buckets.popitem(last=False)
        wait_s = 0.0 if allowed else (1 - tokens) / rate
        return Taken(allowed, self.per_minute, math.floor(tokens), wait_s, (self.per_minute - tokens) / rate)
