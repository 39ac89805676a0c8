"""The API of the example pipelines: usage by day and model, made up, the same each time."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import orjson

from convergence.sandbox.http import Request, Response

PATH: Final = "/v1/example/usage"
DAYS_MAX: Final = 400
PRICES: Final = {"large": Decimal("0.00003"), "small": Decimal("0.000002")}  # of a token


def answer(request: Request) -> Response:
    """Answer GET /usage?from=…&to=… with a row for each day and model."""
    asked = dict(request.query)
    try:
        first, last = date.fromisoformat(asked["from"]), date.fromisoformat(asked["to"])
    except (KeyError, ValueError):
        return Response(400, orjson.dumps({"error": {"message": "from and to are dates, YYYY-MM-DD"}}))
    days = min((last - first).days + 1, DAYS_MAX)
    rows = [_row(first + timedelta(days=day), model) for day in range(days) for model in PRICES]
    return Response(200, orjson.dumps({"data": rows}))


def _row(day: date, model: str) -> dict[str, Any]:
    tokens = 1000 + 7 * day.day
    return {
        "day": day.isoformat(),
        "model": model,
        "tokens": tokens,
        "cost": orjson.Fragment(f"{tokens * PRICES[model]:f}"),
    }
