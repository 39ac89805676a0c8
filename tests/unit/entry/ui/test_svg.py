"""The geometry of timelines, strips and trends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from convergence.domain.times import to_text
from convergence.entry.ui.svg.marks import marks, spark
from convergence.entry.ui.svg.step_graph import STEPS_MAX, step_graph
from convergence.entry.ui.svg.timeline import Segment, folded_words, segments, timeline

BEGAN = datetime(2026, 10, 24, 1, tzinfo=UTC)


def at(seconds: float) -> str:
    return to_text(BEGAN + timedelta(seconds=seconds))


def test_attempts_and_waits_come_from_the_moves_with_their_causes() -> None:
    moves = [
        (at(9), "running", "claimed"),
        (at(39), "retrying", "attempt 1 of 3 failed: 504"),
        (at(44), "running", "claimed"),
        (at(46), "retrying", "to be continued"),
        (at(50), "running", "claimed"),
        (at(60), "failed", "504"),
    ]
    found = segments(moves, BEGAN, BEGAN + timedelta(seconds=100))
    assert [(each.kind, each.start, each.end, each.cause) for each in found] == [
        ("fail", 9_000, 39_000, "attempt 1 of 3 failed: 504"),
        ("wait", 39_000, 44_000, "attempt 1 of 3 failed: 504"),
        ("ok", 44_000, 46_000, "to be continued"),
        ("wait", 46_000, 50_000, "to be continued"),
        ("fail", 50_000, 60_000, "504"),
    ]
    assert segments(moves[:1], BEGAN, BEGAN + timedelta(seconds=12))[0] == Segment("run", 9_000, 12_000, "claimed")
    assert segments([], BEGAN, BEGAN) == []


def test_a_long_pause_is_folded_and_the_bars_keep_their_order() -> None:
    rows = [
        ("first", "completed", [Segment("ok", 0, 30_000, "done")]),
        (
            "second",
            "failed",
            [Segment("wait", 30_000, 646_000, "asked to wait"), Segment("fail", 646_000, 676_000, "504")],
        ),
    ]
    found = timeline(rows, 676_000)
    (fold,) = found.folds
    assert fold.ms == 616_000
    assert folded_words(found) == "Nothing ran for 10 min 16 s, which is folded."
    first, second = found.rows[0].bars[0], found.rows[1].bars[1]
    assert 40 < first.width < 50
    assert abs(first.width - second.width) < 0.1  # both ran 30 s
    assert first.x + first.width <= fold.x + 0.01 <= second.x
    for row in found.rows:
        for bar in row.bars:
            assert 0 <= bar.x <= bar.x + bar.width <= 100.01
    xs = [tick.x for tick in found.ticks]
    assert xs == sorted(xs)
    assert all(right - left >= 9 for left, right in pairwise(xs))
    assert "0:30 to 10:46 waits: asked to wait" in found.rows[1].words


def test_pauses_that_are_short_are_drawn_to_scale() -> None:
    rows = [("a", "completed", [Segment("ok", 0, 1_000, ""), Segment("ok", 15_000, 16_000, "")])]
    found = timeline(rows, 16_000)
    assert not found.folds
    assert folded_words(found) == ""
    assert found.rows[0].bars[1].x == 93.75


def test_a_strip_ends_at_the_right_and_says_the_same_in_words() -> None:
    found, words = marks(["completed", "completed_with_warnings", "failed"], 30)
    assert [mark.x for mark in found] == [191, 198, 205]
    assert [mark.symbol for mark in found] == ["ok", "warn", "fail"]
    assert words == "1 completed, 1 completed with warnings, 1 failed; newest failed."
    assert marks([], 30) == ([], "No runs yet.")


def test_a_trend_stays_within_its_box() -> None:
    found = spark([5, 1, 9])
    assert found is not None
    assert (found.lowest, found.highest, found.latest, found.count) == (1, 9, 9, 3)
    points = [tuple(map(float, each.split(","))) for each in found.points.split()]
    assert all(0 <= x <= 72 and 0 <= y <= 18 for x, y in points)
    assert points[1][1] > points[0][1] > points[2][1]  # the greatest is at the top
    assert spark([]) is None
    assert spark([3]) is not None


def test_a_graph_that_cannot_be_read_is_left_to_the_table() -> None:
    chain = {f"s{n}": [f"s{n - 1}"] if n else [] for n in range(STEPS_MAX + 1)}
    assert step_graph(chain, {}) is None
    assert step_graph({"only": []}, {}) is None
    found = step_graph({"a": [], "b": ["a"], "x" * 90: ["a", "b"]}, {"a": "completed", "b": "failed"})
    assert found is not None
    assert [box.status for box in found.boxes] == ["completed", "failed", ""]
    assert len(found.edges) == 3
    assert max(len(box.name) for box in found.boxes) == 40
    assert all(box.x + box.width <= found.width and box.y + box.height <= found.height for box in found.boxes)
