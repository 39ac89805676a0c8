"""How long to wait before the next attempt."""

from __future__ import annotations

from typing import Final

DELAY_MAX_S: Final = 3600.0


def delay_s(*, backoff_s: float, failures: int, fraction: float, at_least_s: float = 0.0) -> float:
    """Return seconds to wait after the `failures`-th failure (from 1).

    `backoff_s` doubles with each failure; half of it is fixed and half is chance (`fraction` in [0, 1)), so that
    steps which failed together do not come back together. Never less than the other side asked for.
    """
    full = min(DELAY_MAX_S, backoff_s * 2.0 ** min(failures - 1, 30))
    return max(at_least_s, full * (0.5 + fraction / 2))
