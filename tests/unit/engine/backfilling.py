"""What the tests of backfills ask for."""

from __future__ import annotations

from datetime import date
from typing import Any

from convergence.engine.backfills.create import BackfillRequest


def request(**more: Any) -> BackfillRequest:
    given: dict[str, Any] = {
        "org": "acme",
        "pipeline": "p/d/n",
        "start": date(2026, 2, 1),
        "end": date(2026, 2, 5),
    } | more
    return BackfillRequest(**given)
