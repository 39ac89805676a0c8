"""OpenRouter's activity (openrouter.ai/docs, GET /activity): figures made up, the same each time."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

import orjson

from convergence.sandbox.http import Request, Response
from convergence.sandbox.openai import Query

KEY: Final = "sk-or-v1-management-sandbox"
PATH: Final = "/v1/openrouter/activity"
WORKSPACES: Final = ("8e5c0a1e-0000-4000-8000-000000000001", "8e5c0a1e-0000-4000-8000-000000000002")


class Endpoint(NamedTuple):
    """An endpoint of a model; `own_key`: its inference is billed to a key of the account at the provider."""

    model: str
    permaslug: str
    id: str
    provider: str
    own_key: bool


ENDPOINTS: Final = (
    Endpoint("openai/gpt-4.1", "openai/gpt-4.1-2025-04-14", "550e8400-e29b-41d4-a716-446655440001", "OpenAI", False),
    Endpoint("openai/gpt-4.1", "openai/gpt-4.1-2025-04-14", "550e8400-e29b-41d4-a716-446655440002", "Azure", False),
    Endpoint("anthropic/claude-sonnet-4", "anthropic/claude-4-sonnet-20250522",
             "550e8400-e29b-41d4-a716-446655440003", "Anthropic", True),
    Endpoint("deepseek/deepseek-r1:free", "deepseek/deepseek-r1",
             "550e8400-e29b-41d4-a716-446655440004", "Chutes", False),
)  # fmt: skip


def rows(day: date, *, by_workspace: bool = False) -> list[dict[str, Any]]:
    """Return the activity of a day; amounts are Decimal."""
    split = [_row(day, number, place) for number in range(len(ENDPOINTS)) for place in range(len(WORKSPACES))]
    if by_workspace:
        return split
    pairs = zip(split[::2], split[1::2], strict=True)
    return [{name: _sum(name, one, other) for name in one if name != "workspace_id"} for one, other in pairs]


def is_ours(path: str) -> bool:
    """Return whether a request is for this provider."""
    return path == PATH


def answer(request: Request) -> Response:
    """Answer GET /activity: one day, or the last 30 days up to 2026-11-20."""
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return _error(401, "Missing Authentication header")
    query = Query(request.query)
    group = query.one("group_by")
    if group not in {"", "workspace"}:
        return _error(400, "Invalid group_by")
    last = date(2026, 11, 20)
    asked = query.one("date")
    reported = [date.fromisoformat(asked)] if asked else [last - timedelta(days=back) for back in range(30)]
    found = [row for day in reported for row in rows(day, by_workspace=group == "workspace")]
    return Response(200, orjson.dumps({"data": found}, default=float))


def _row(day: date, number: int, place: int) -> dict[str, Any]:
    endpoint, weight = ENDPOINTS[number], day.day + 3 * number + place
    spent = Decimal(0) if endpoint.model.endswith(":free") else Decimal(weight) * Decimal("0.012345")
    return {
        "date": day.isoformat(),
        "model": endpoint.model,
        "model_permaslug": endpoint.permaslug,
        "endpoint_id": endpoint.id,
        "provider_name": endpoint.provider,
        "usage": spent / 20 if endpoint.own_key else spent,  # a twentieth is the fee for own keys
        "byok_usage_inference": spent if endpoint.own_key else Decimal(0),
        "requests": weight,
        "prompt_tokens": weight * 1_000,
        "completion_tokens": weight * 250,
        "reasoning_tokens": weight * 50,
        "workspace_id": WORKSPACES[place],
    }


def _sum(name: str, one: dict[str, Any], other: dict[str, Any]) -> Any:
    return one[name] if isinstance(one[name], str) else one[name] + other[name]


def _error(status: int, message: str) -> Response:
    return Response(status, orjson.dumps({"error": {"code": status, "message": message}}))
