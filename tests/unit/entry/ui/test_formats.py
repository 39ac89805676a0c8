"""Numbers and times as the pages write them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest

from convergence.entry.ui.formats import as_of, counted, day, minute, moment
from convergence.entry.ui.pages import FOLDER
from convergence.entry.ui.views.log import Line, Log
from convergence.entry.ui.views.replay import Effect, StepEffect

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
# What a template writes behind a number; the helper `counted` has the word inside of the braces.
LOOSE_PLURAL = re.compile(
    r"(?:\| number|\| length|\.count|_count|\.runs|\.rows|\.steps|\.days|rows_kept\"\))\s*\}\}"
    r"\s*(?:more |open )?[a-z]+s\b"
)


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (1_054, "1,054 runs"), (-1, "-1 runs")]
)
def test_a_count_has_its_singular(count: int, words: str) -> None:
    assert counted(count, "run") == words


def test_an_irregular_plural_is_given() -> None:
    assert [counted(n, "secret signs", "secrets sign") for n in (1, 2)] == ["1 secret signs", "2 secrets sign"]


def test_no_template_makes_a_plural_of_its_own() -> None:
    found = {}
    for file in sorted((FOLDER / "templates").rglob("*.html")):
        text = file.read_text()
        own = re.findall(r"[\"']s[\"'] if [^}]*", text) + LOOSE_PLURAL.findall(text)
        if own:
            found[file.name] = own
    assert found == {}


def test_the_year_is_shown_unless_it_is_that_of_the_page() -> None:
    with as_of(NOW):
        assert moment("2026-10-24T03:00:05.250Z") == "Sat 24 Oct 03:00:05"
        assert moment("2025-10-24T03:00:05.250Z") == "Fri 24 Oct 2025 03:00:05"
        assert minute("2027-01-01T00:30:00Z") == "Fri 1 Jan 2027 00:30"
        assert minute(datetime(2024, 2, 29, 23, 59, tzinfo=UTC)) == "Thu 29 Feb 2024 23:59"
        assert (day(date(2026, 10, 24)), day("2025-12-31T23:59:59Z")) == ("Sat 24 Oct", "Wed 31 Dec 2025")
        assert (moment(None), minute(None), day(None)) == ("–", "–", "–")


def test_outside_of_a_page_every_time_has_its_year() -> None:
    assert minute("2026-10-24T03:00:00Z") == "Sat 24 Oct 2026 03:00"


def test_sentences_of_one_thing_are_singular() -> None:
    line = [Line(at="2026-11-30T12:00:00Z", level="INFO", step_id="", message="said")]
    assert Log(line, 1, 1, ()).note == "1 line"
    assert Log(line, 2, 1, ()).note == "1 of 2 lines"
    one = Effect((StepEffect("a", "t", again=True, rows=0), StepEffect("b", "u", again=False, rows=1)))
    assert one.sentence == "Does 1 step again and replaces 1 slice. Keeps 1 completed step with 1 row."
