"""How long a step waits before its next attempt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from convergence.engine.step.finish_step import DELAY_MAX_S, delay_s


@given(failures=st.integers(1, 200), backoff=st.floats(0.01, 600), fraction=st.floats(0, 0.999999))
def test_a_delay_doubles_within_its_bounds(failures: int, backoff: float, fraction: float) -> None:
    wait = delay_s(backoff_s=backoff, failures=failures, fraction=fraction)
    full = min(DELAY_MAX_S, backoff * 2.0 ** min(failures - 1, 30))
    assert full / 2 <= wait <= full


def test_a_delay_is_never_shorter_than_the_provider_asked_for() -> None:
    assert delay_s(backoff_s=1, failures=1, fraction=0, at_least_s=42) == 42


def test_half_of_a_delay_is_fixed_and_half_is_random() -> None:
    waits = [
        delay_s(backoff_s=10, failures=failures, fraction=fraction) for failures in (1, 2) for fraction in (0, 0.5)
    ]
    assert waits == [5, 7.5, 10, 15]
    assert delay_s(backoff_s=1e9, failures=1, fraction=0.5) == DELAY_MAX_S * 0.75
