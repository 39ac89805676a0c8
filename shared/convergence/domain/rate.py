"""Token buckets: so many requests a minute, with bursts up to the same number.

`Buckets` are kept by each process for itself: exact sharing would make one document hot, and a limit against floods
need not be exact. A `Bucket` stored in a document is shared by all processes.
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


class Bucket(NamedTuple):
    """The tokens of one caller as of a time in seconds."""

    tokens: float
    at: float

    def take(self, per_minute: int, now: float) -> tuple[Taken, Bucket]:
        """Return the answer, and the bucket after it: one token fewer if there was one."""
        rate = per_minute / 60
        tokens = min(float(per_minute), self.tokens + max(0.0, now - self.at) * rate)
        allowed = tokens >= 1
        if allowed:
            tokens -= 1
        wait_s = 0.0 if allowed else (1 - tokens) / rate
        taken = Taken(allowed, per_minute, math.floor(tokens), wait_s, (per_minute - tokens) / rate)
        return taken, Bucket(tokens, max(self.at, now))


class Buckets:
    """One bucket per caller. Over the cap, the longest idle one is dropped: it is full again anyway."""

    def __init__(self, per_minute: int, *, callers_max: int = CALLERS_MAX) -> None:
        self.per_minute = per_minute
        self._callers_max = callers_max
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def look(self, caller: str, now: float) -> Taken:
        """Return what `take` would return, without taking a token."""
        taken, _ = self._bucket(caller, now).take(self.per_minute, now)
        return taken

    def __len__(self) -> int:
        """Return how many callers are known."""
        return len(self._buckets)

    def take(self, caller: str, now: float) -> Taken:
        """Take a token if there is one. `now` is in seconds and never goes back by much."""
        taken, self._buckets[caller] = self._bucket(caller, now).take(self.per_minute, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > self._callers_max:
            self._buckets.popitem(last=False)
        return taken

    def _bucket(self, caller: str, now: float) -> Bucket:
        return self._buckets.get(caller) or Bucket(float(self.per_minute), now)
