"""Crons and time zones."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from convergence.config.cron import check_cron, fire_times, zone
from convergence.errors import InvalidInput


def times(cron: str, timezone: str, after: datetime, count: int = 2) -> list[str]:
    return [fire.strftime("%m-%d %H:%M") for fire in islice(fire_times(cron, timezone, after), count)]


def test_fire_times_come_in_utc() -> None:
    after = datetime(2026, 1, 10, 12, tzinfo=UTC)
    assert times("0 2 * * *", "UTC", after) == ["01-11 02:00", "01-12 02:00"]
    assert times("0 2 * * *", "Asia/Tokyo", after) == ["01-10 17:00", "01-11 17:00"]


def test_a_time_in_the_skipped_hour_fires_once_and_one_in_the_doubled_hour_once() -> None:
    spring, autumn = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert times("30 2 * * *", "Europe/Berlin", spring) == ["03-29 01:00", "03-30 00:30"]
    assert times("30 2 * * *", "Europe/Berlin", autumn) == ["10-25 00:30", "10-26 01:30"]


@pytest.mark.parametrize("cron", ["* * * * *", "*/5 0-6 1,15 * MON-FRI", "0 0 L * *", "0 0 29 2 *"])
def test_usual_crons_are_right(cron: str) -> None:
    assert check_cron(cron) is None


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("", "five fields"),
        ("0 2 * *", "this one has 4"),
        ("60 * * * *", "minute is wrong"),
        ("0 0 30 2 *", "never fires"),
        ("@daily", "five fields"),
        ("0 0 */30 2 MON#5", "never fires"),
        ("0 2 * * XYZ", "day-of-week is wrong"),
        ("*/61 * * * *", "minute is wrong"),
        ("5-10/60 * * * *", "minute is wrong"),
        ("0 */24 * * *", "hour is wrong"),
        ("0 0 */32 * *", "day-of-month is wrong"),
        ("0 0 1 */13 *", "month is wrong"),
        ("0 0 * * */8", "day-of-week is wrong"),
    ],
)
def test_a_wrong_cron_says_which_field(cron: str, message: str) -> None:
    assert message in (check_cron(cron) or "")


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "", "../etc/passwd", "/etc/localtime", "Europe", "localtime", "posixrules", "Factory"]
)
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="no time zone") as caught:
        zone(name)
    assert "Africa/" not in str(caught.value), "600 names from the top of the alphabet are no hint"


def test_a_zone_that_nothing_resembles_gets_an_example() -> None:
    with pytest.raises(InvalidInput, match=r"'Mars/Olympus'\. Use an IANA name, such as 'Europe/Berlin'\.$"):
        zone("Mars/Olympus")
    with pytest.raises(InvalidInput, match="Did you mean 'Europe/Berlin'"):
        zone("Europe/Berln")


@pytest.mark.parametrize("cron", ["*/1," * 200_000 + "1 * * * *", "0-59," * 40 + "1 * * * *", "* " * 500])
def test_a_cron_is_short_enough_to_be_read_at_once(cron: str) -> None:
    assert "at most 200 characters" in (check_cron(cron) or "")


def test_a_long_name_of_a_zone_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidInput) as caught:
        zone("A" * 900_000)
    assert len(str(caught.value)) < 1_000
