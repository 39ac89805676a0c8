"""The check of the worlds' events sees what is wrong."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.simulation.events import check_events

MOVES = [["t0", "running", "accepted"], ["t1", "completed", "done"]]
STATE = {"runs/r": {"run_id": "r", "status": "completed", "moves": 2, "transitions": MOVES}}


def event(number: int, **changes: Any) -> bytes:
    time, status, why = MOVES[min(number, len(MOVES)) - 1]
    return orjson.dumps({"id": f"r#{number}", "time": time, "data": {"status": status, "why": why} | changes})


def test_repeats_of_what_happened_are_right() -> None:
    check_events([event(1), event(2), event(2), event(1)], STATE)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ([event(1)], "no event reported that it is completed"),
        ([event(1), event(2, status="failed")], "made was"),
        ([event(2), event(2, why="other")], "reported in two ways"),
        ([event(2), event(3)], "a move that was not made"),
    ],
)
def test_what_is_wrong_is_seen(sent: list[bytes], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_events(sent, STATE)
