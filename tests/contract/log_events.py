"""Events for the log tables, and a clock that tests move."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convergence.ports.bus import Message

CONFIGS = Path(__file__).parents[2] / "configs"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class SteppedClock:
    """Time passes when the test says so."""

    def __init__(self) -> None:
        self.passed = asyncio.Event()

    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        await self.passed.wait()


def an_event(number: int = 1, *, org: str = "acme", kind: str = "step", **data: Any) -> Message:
    values = {"run_id": "r1", "pipeline": "a/b", "pipeline_id": "acme-b", "status": "completed", "epoch": 0} | data
    if kind == "step":
        values = {"step_id": "extract", "rows_written": 5} | values
    event = {
        "specversion": "1.0",
        "id": f"e{number}",
        "type": f"{kind}.completed",
        "time": "2026-02-28T10:00:00.000000Z",
        "org": org,
        "data": values,
    }
    return Message(json.dumps(event).encode())
