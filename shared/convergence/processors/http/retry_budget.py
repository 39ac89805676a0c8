"""How often and how long a call to a busy API is retried in place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudget:
    """How long to try in place. Waits grow as base × 2^n up to `wait_max_s`, then full jitter takes a part."""

    attempts_max: int = 5
    wait_base_s: float = 0.5
    wait_max_s: float = 20.0
    retry_after_max_s: float = 60.0  # a longer wait is left to the engine
    answer_s: float = 60.0
    retry_on_429: bool = True  # False: a busy answer goes to the engine's retry at once
