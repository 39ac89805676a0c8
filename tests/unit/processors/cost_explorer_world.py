"""Cost Explorer of the sandbox, and an installation that reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from convergence.sandbox import aws
from tests.unit.processors.installation import Here, installed

PIPELINE = "cloud/aws/cost/cost_explorer"
KEYS = '{"access_key_id": "sandbox", "secret_access_key": "sandbox"}'
OCTOBER = {"start_date": "2026-10-20", "end_date": "2026-10-20"}


def running(folder: Path, work: Callable[[Here], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with installed(folder) as here:
            await here.good("aws/auth/setup", api_key=KEYS)
            await work(here)

    asyncio.run(main())


def billed(first: date, end: date, kind: str = "") -> Decimal:
    """What the sandbox charges, summed up line by line."""
    return sum((one.cost for one in aws.charges(first, end) if kind in {"", one.line.record_type}), Decimal(0))
