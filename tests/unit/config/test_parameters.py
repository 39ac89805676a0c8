"""Parameters: what may be given, how text is read, how dates are pinned."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from convergence.config.loader import LoadedPipeline
from convergence.config.parameters.values import edited, resolve_parameters
from convergence.errors import InvalidInput
from tests.unit.config.builders import FIRE, a_pipeline, a_step


def resolved(loaded: LoadedPipeline, at: datetime = FIRE, /, **given: Any) -> dict[str, Any]:
    return dict(resolve_parameters(loaded, given, fire_time=at))


def days(loaded: LoadedPipeline, at: datetime = FIRE, /, **given: Any) -> tuple[str, str, str]:
    found = resolved(loaded, at, **given)
    return found["date"], found["start_date"], found["end_date"]


PLAIN = a_pipeline("")


def test_without_anything_given_the_dates_are_yesterday() -> None:
    assert resolved(PLAIN) == {
        "date": "2026-03-04",
        "start_date": "2026-03-04",
        "end_date": "2026-03-04",
        "force_refresh": False,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"date": "2026-01-02"}, ("2026-01-02", "2026-01-02", "2026-01-02")),
        ({"start_date": "2026-01-01", "end_date": "2026-01-31"}, ("2026-01-31", "2026-01-01", "2026-01-31")),
        ({"start_date": "2026-03-01"}, ("2026-03-04", "2026-03-01", "2026-03-04")),
        ({"end_date": "2026-02-01"}, ("2026-02-01", "2026-02-01", "2026-02-01")),
        ({"start_date": "MONTH_START", "end_date": "TODAY"}, ("2026-03-05", "2026-03-01", "2026-03-05")),
        ({"start_date": "today-5", "end_date": "Yesterday"}, ("2026-03-04", "2026-02-28", "2026-03-04")),
        ({"start_date": "TODAY-5", "end_date": "YESTERDAY"}, ("2026-03-04", "2026-02-28", "2026-03-04")),
        ({"start_date": "YEAR_START", "end_date": "YEAR_END"}, ("2026-12-31", "2026-01-01", "2026-12-31")),
        ({"date": "MONTH_END"}, ("2026-03-31", "2026-03-31", "2026-03-31")),
    ],
)
def test_dates_follow_from_each_other(given: dict[str, str], expected: tuple[str, str, str]) -> None:
    assert days(PLAIN, **given) == expected


def test_a_date_offset_moves_the_default_date_wherever_it_is_written() -> None:
    assert days(a_pipeline('variables: {default_date_offset: "-2"}'))[0] == "2026-03-03"
    assert days(a_pipeline('default_date_offset: "-3"'))[0] == "2026-03-02"


def test_the_date_is_that_of_the_schedules_zone() -> None:
    deferred = datetime(2026, 3, 5, 1, 30, tzinfo=UTC)
    tokyo = a_pipeline('schedule: {cron: "0 9 * * *", timezone: Asia/Tokyo}')
    los_angeles = a_pipeline('schedule: {cron: "0 9 * * *", timezone: America/Los_Angeles}')
    assert days(tokyo, deferred)[0] == "2026-03-04"
    assert days(los_angeles, deferred)[0] == "2026-03-03"


def test_a_declared_start_does_not_outlive_its_end_on_the_first_of_a_month() -> None:
    loaded = a_pipeline("parameters: {start_date: {type: date, default: MONTH_START}}")
    assert days(loaded) == ("2026-03-04", "2026-03-01", "2026-03-04")
    assert days(loaded, datetime(2026, 3, 1, 6, tzinfo=UTC)) == ("2026-03-01", "2026-03-01", "2026-03-01")
    assert days(loaded, date="2026-01-09") == ("2026-01-09", "2026-01-09", "2026-01-09")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start_date": "2026-02-02", "end_date": "2026-02-01"}, "start_date 2026-02-02 is after end_date 2026-02-01"),
        ({"start_date": "2026-03-05"}, "after end_date 2026-03-04 (the default: give end_date too)"),
        ({"date": "2026-02-30"}, "date must be a date: YYYY-MM-DD, TODAY-n or one of TODAY"),
        ({"date": "1/2/2026"}, "not '1/2/2026'"),
        ({"force_refresh": "perhaps"}, "force_refresh must be true or false, not 'perhaps'"),
        ({"strat_date": "2026-01-01"}, "no parameter is called 'strat_date'. Did you mean 'start_date'"),
        ({"org_slug": "other"}, "'org_slug' is set by the engine"),
        ({"results": "x"}, "no parameter is called 'results'"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolved(PLAIN, **given)
    assert message in str(caught.value)


def test_everything_wrong_is_reported_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        resolved(PLAIN, nonsense=1, date="x", force_refresh="y")
    assert str(caught.value).count(";") == 2


TYPED = a_pipeline(
    """
parameters:
  text: {type: string}
  whole: {type: integer, default: 3}
  number: {type: number}
  flag: {type: boolean}
  since: {type: date}
  items: {type: list}
  deep: {type: object}
  mode: {type: string, default: fast, allowed: [fast, slow]}
  key: {type: secret}
"""
)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("text", "12", "12"),
        ("whole", "-12", -12),
        ("number", "0.1", 0.1),
        ("number", "7", 7),
        ("flag", "YES", True),
        ("flag", "0", False),
        ("since", "2026-01-02", "2026-01-02"),
        ("items", "a, b", ["a", "b"]),
        ("items", "[1, 2]", [1, 2]),
        ("deep", '{"a": [1]}', {"a": [1]}),
        ("key", "sk-1", "sk-1"),
    ],
)
def test_text_is_read_by_the_declared_type(name: str, text: str, value: Any) -> None:
    assert resolved(TYPED, **{name: text})[name] == value


@pytest.mark.parametrize(
    ("name", "given"),
    [
        *(("whole", "1.5"), ("whole", True), ("whole", 1.0), ("number", "nan"), ("number", "many"), ("text", 5)),
        *(("flag", 1), ("items", {"a": 1}), ("items", "[1"), ("deep", "[1]"), ("mode", "medium"), ("key", 5)),
    ],
)
def test_a_wrong_type_is_refused(name: str, given: Any) -> None:
    with pytest.raises(InvalidInput, match=name):
        resolved(TYPED, **{name: given})


def test_a_refused_secret_is_not_shown() -> None:
    with pytest.raises(InvalidInput) as caught:
        resolved(TYPED, key=["sk-very-secret"])
    assert "very-secret" not in str(caught.value)


def test_a_required_parameter_must_be_given() -> None:
    loaded = a_pipeline("parameters: {rows: {type: integer, required: true}}")
    with pytest.raises(InvalidInput, match="'rows' is required"):
        resolved(loaded)
    assert resolved(loaded, rows="4")["rows"] == 4


def test_a_file_that_declares_nothing_takes_the_names_that_it_uses() -> None:
    loaded = a_step('{region: "{region}"}', "variables: {limit: 5, unused: true}")
    found = resolved(loaded, region="eu", limit="7", unused="false")
    assert (found["region"], found["limit"], found["unused"]) == ("eu", 7, False)


def test_a_default_may_have_templates() -> None:
    loaded = a_pipeline(
        "parameters: {since: {type: date, default: '{yesterday}'}, tag: {default: 'x-{mode}'}, mode: {}}"
    )
    assert resolved(loaded, mode="m")["tag"] == "x-m"
    assert resolved(loaded, mode="m")["since"] == "2026-03-04"
    assert "tag" not in resolved(loaded), "left to the plan, which says what is missing"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("2026-01-03", "2026-01-01", "2026-01-03")),
        ({"date": "2026-02-02"}, ("2026-02-02", "2026-02-02", "2026-02-02")),
        ({"end_date": "2026-01-05"}, ("2026-01-05", "2026-01-01", "2026-01-05")),
        ({"start_date": "2025-12-31"}, ("2026-01-03", "2025-12-31", "2026-01-03")),
        ({"start_date": "2026-02-01", "end_date": "2026-02-02"}, ("2026-02-02", "2026-02-01", "2026-02-02")),
    ],
)
def test_the_days_of_an_edited_run_follow_from_those_that_were_changed(
    changes: dict[str, str], expected: tuple[str, str, str]
) -> None:
    had = resolved(PLAIN, start_date="2026-01-01", end_date="2026-01-03")
    assert days(PLAIN, **edited(PLAIN, had, changes)) == expected


def test_a_date_that_the_pipeline_declares_stays_when_its_range_is_edited() -> None:
    own = a_pipeline("parameters:\n  date: {type: date, required: true}\n")
    had = resolved(own, date="2026-01-03")
    assert edited(own, had, {"end_date": "2026-01-05"})["date"] == "2026-01-03"
