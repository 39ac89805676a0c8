"""What events must tell: nothing that is not so, the same thing each time, and how each run ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson


def check_events(sent: Iterable[bytes], state: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare all events with the documents as they are in the end."""
    reported: dict[str, dict[str, Any]] = {}
    for data in set(sent):
        event = orjson.loads(data)
        assert reported.setdefault(event["id"], event) == event, f"{event['id']} was reported in two ways"
    for event in reported.values():
        if event.get("type") == "run.counted":
            _check_count(event, state)
        else:
            _check_move(event, state)
    for path, run in state.items():
        if path.startswith("runs/") and path.count("/") == 1:
            last = reported.get(f"{run['run_id']}#{run['moves']}")
            assert last is not None, f"{path}: no event reported that it is {run['status']}"
            assert last["data"]["status"] == run["status"], f"{path} is {run['status']}, reported was {last}"


def _check_count(event: Mapping[str, Any], state: Mapping[str, Mapping[str, Any]]) -> None:
    """The count of a run that ended once is the one that its document has."""
    run, moves = state[f"runs/{event['data']['run_id']}"], int(event["id"].rpartition("#")[2])
    assert moves <= run["moves"], f"{event['id']} tells of a move that was not made"
    if moves == run["moves"] and run["check_at"] is None:
        assert event["data"]["status"] == "counted", event["id"]
        assert event["data"]["records_processed"] == run["totals"].get("rows_processed", 0), event["id"]


def _check_move(event: Mapping[str, Any], state: Mapping[str, Mapping[str, Any]]) -> None:
    """An event tells of a move that was made: with its time, status and reason (long histories lose their middle)."""
    cause, _, number = event["id"].rpartition("#")
    run_id, _, record = cause.partition(".")
    document = state[f"runs/{run_id}/steps/{record}" if record else f"runs/{run_id}"]
    reported = [event["time"], event["data"]["status"], event["data"]["why"]]
    made, moves = document["transitions"], document["moves"]
    assert int(number) <= moves, f"{event['id']} tells of a move that was not made"
    if len(made) == moves:
        assert list(made[int(number) - 1]) == reported, f"{event['id']}: {reported}, made was {made[int(number) - 1]}"
