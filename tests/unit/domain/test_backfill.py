"""The slices of a backfill, and the order in which they run."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from convergence.domain.backfill import Backfill, Mode, Slice, Step, slices_of

AT = datetime(2026, 11, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("step", "slices"),
    [
        (
            Step.WEEK,  # 2026-02-04 is a Wednesday
            [
                Slice(date(2026, 2, 4), date(2026, 2, 8)),
                Slice(date(2026, 2, 9), date(2026, 2, 15)),
                Slice(date(2026, 2, 16), date(2026, 2, 17)),
            ],
        ),
        (Step.MONTH, [Slice(date(2026, 2, 4), date(2026, 2, 17))]),
    ],
)
def test_the_first_and_the_last_slice_may_be_shorter(step: Step, slices: list[Slice]) -> None:
    assert list(slices_of(date(2026, 2, 4), date(2026, 2, 17), step)) == slices


def test_months_end_on_their_last_day() -> None:
    ends = [each.end.day for each in slices_of(date(2024, 1, 1), date(2024, 12, 31), Step.MONTH)]
    assert ends == [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


@pytest.mark.parametrize(("newest_first", "indexes"), [(True, [4, 2]), (False, [0, 2])])
def test_open_slices_run_in_the_order_that_was_asked_for(newest_first: bool, indexes: list[int]) -> None:
    backfill = Backfill(
        backfill_id="bf", org="acme", pipeline="p/d/n", start="2026-11-01", end="2026-11-05", step=Step.DAY,
        mode=Mode.ALL, states=".c.d.", created_at=AT, updated_at=AT, newest_first=newest_first,
    )  # fmt: skip
    assert backfill.next_slices(2) == indexes
    assert sorted(backfill.next_slices(9)) == [0, 2, 4]
    assert backfill.next_slices(-1) == []
