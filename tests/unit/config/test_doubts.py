"""Days that are probably a slip."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from convergence.config.parameters.doubts import doubtful_days

TODAY = date(2026, 11, 29)


@pytest.mark.parametrize(
    ("given", "doubt"),
    [
        ({"date": "2026-11-30"}, "2026-11-30 is in the future (today is 2026-11-29)"),
        ({"end_date": "2062-11-01"}, "2062-11-01 is in the future (today is 2026-11-29)"),
        ({"start_date": "2026-12-01"}, "2026-12-01 is in the future (today is 2026-11-29)"),
        ({"date": "0026-11-07"}, "0026-11-07 is before 1970"),
        ({"start_date": "1990-01-01"}, "1990-01-01 to 2026-11-29 is more than ten years"),
        ({"start_date": "2006-11-01", "end_date": "YESTERDAY"}, "2006-11-01 to 2026-11-28 is more than ten years"),
        ({"start_date": "today-9999"}, "1999-07-15 to 2026-11-29 is more than ten years"),
    ],
)
def test_a_slip_is_described(given: dict[str, str], doubt: str) -> None:
    assert doubtful_days(given, TODAY) == doubt


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"date": "2026-11-29"},
        {"date": "TODAY"},
        {"start_date": "MONTH_START", "end_date": "month_end"},
        {"end_date": "YEAR_END"},
        {"date": "1999-01-01"},
        {"start_date": "2016-12-01"},
        {"date": "someday"},
        {"date": None, "start_date": 5},
        {"starts_on": "2062-11-01"},
    ],
)
def test_other_days_are_not_doubted(given: dict[str, Any]) -> None:
    assert doubtful_days(given, TODAY) is None
