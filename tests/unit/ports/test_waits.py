"""How long an answer asks its caller to wait."""

from __future__ import annotations

import pytest

from convergence.ports.http.waits import rate_limit_wait_s, retry_after_s

YEAR_S = 365 * 86_400


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-4"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT"}, 20.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Thu, 01 Jan 99999 00:00:00 GMT"}, None),
        ({}, None),
        ({"retry-after": "inf"}, YEAR_S),
        ({"retry-after": "1" + "0" * 40}, YEAR_S),
        ({"retry-after-ms": "1e308"}, YEAR_S),
    ],
)
def test_a_wait_is_read_and_bounded(headers: dict[str, str], wait_s: float | None) -> None:
    assert retry_after_s(headers, now=100.0) == wait_s


@pytest.mark.parametrize(
    ("remaining", "reset", "wait_s"),
    [("0", "30", 30.0), ("0", "1800000060", 60.0), ("1", "30", None), ("0", "inf", YEAR_S), ("0", "nan", 0.0)],
)
def test_a_used_up_limit_opens_again(remaining: str, reset: str, wait_s: float | None) -> None:
    headers = {"x-ratelimit-remaining": remaining, "x-ratelimit-reset": reset}
    assert rate_limit_wait_s(headers, now=1_800_000_000.0) == wait_s
