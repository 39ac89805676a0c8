"""Days that are probably a slip start nothing without --force."""

from __future__ import annotations

from datetime import date

import pytest

from convergence.entry.cli.parameters import check_days
from convergence.errors import InvalidInput
from tests.unit.entry.conftest import Cli

TODAY = date(2026, 11, 29)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"date": "2062-11-01"}, "more than two years in the future"),
        ({"start_date": "1900-01-01"}, "1900-01-01 to 2026-11-29 is more than ten years"),
        ({"start_date": "2006-11-01", "end_date": "YESTERDAY"}, "more than ten years"),
    ],
)
def test_a_slip_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_days(given, TODAY)


@pytest.mark.parametrize(
    "given", [{}, {"date": "someday"}, {"start_date": "today-30"}, {"date": "1999-01-01"}, {"end_date": "2027-01-01"}]
)
def test_other_days_are_not(given: dict[str, str]) -> None:
    check_days(given, TODAY)


def test_force_runs_them(acme: Cli) -> None:
    call = ("run", "acme", "example/hello", "-p", "start_date=1900-01-01", "-p", "end_date=1920-01-01")
    refused = acme(*call)
    assert (refused.code, "add --force" in refused.err) == (2, True)
    assert acme("history", "acme", "--json").data["runs"] == []
    assert acme(*call, "--force").code == 0
