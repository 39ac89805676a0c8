"""Spellings of a schedule, right and wrong."""

from __future__ import annotations

from typing import Any

import pytest

from convergence.config.dialects.schedules import normalise


def wrong(written: Any) -> list[str]:
    found: list[str] = []
    normalise(written, lambda key, message: found.append(f"{key}: {message}"))
    return found


def test_a_right_schedule_reports_nothing() -> None:
    assert wrong({"type": "hourly"}) == []
    assert normalise("0 1 * * *", lambda *_: None) == {"cron": "0 1 * * *", "timezone": "UTC", "enabled": True}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (5, "None: a schedule must be a cron expression in quotes, or a mapping"),
        ({}, "None: a schedule needs exactly one of cron, default_cron or type"),
        ({"cron": "0 1 * * *", "type": "daily"}, "None: a schedule needs exactly one"),
        ({"cron": 5}, "cron: a cron expression must be text"),
        ({"cron": "0 1 * * *", "time": "02:00"}, "time: time belongs to `type`, not to a cron expression"),
        ({"type": "daily", "minute": 5, "time": "01:00"}, "minute: minute has no meaning with type daily"),
        ({"type": "hourly", "time": "01:00"}, "time: time has no meaning with type hourly"),
        ({"type": "daily", "day_of_month": 1}, "day_of_month: day_of_month has no meaning"),
        ({"type": "hourly", "minute": 60}, "minute: minute must be a number from 0 to 59, not 60"),
        ({"type": "hourly", "minute": True}, "minute: minute must be a number"),
        ({"type": "monthly", "day_of_month": 0}, "day_of_month: day_of_month must be a number from 1 to 31"),
        ({"type": "daily", "time": "24:00"}, 'time: time must be "HH:MM" in quotes'),
        ({"type": "daily", "time": 120}, 'time: time must be "HH:MM" in quotes, not 120'),
        ({"type": ["daily"]}, "type: type must be one of"),
        ({"cron": "0 1 * * *", "timezone": 5}, "timezone: no time zone is called '5'"),
        ({"cron": "0 1 * * *", "zone": "UTC"}, "zone: a schedule has no 'zone'"),
        ({"cron": "0 1 * * *", "start": "0001-01-01", "timezone": "Asia/Tokyo"}, "start: a year from 1970 to 2999"),
        ({"cron": "0 1 * * *", "end": "9999-12-31T23:59:59-12:00"}, "end: a year from 1970 to 2999"),
        (
            {"cron": "0 1 * * *", "blackouts": [{"start": "2026-01-01", "end": "9999-12-31"}]},
            "blackouts: a year from 1970 to 2999",
        ),
    ],
)
def test_a_wrong_schedule_says_which_key(written: Any, message: str) -> None:
    assert any(line.startswith(message) for line in wrong(written))
