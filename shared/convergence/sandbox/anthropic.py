"""Anthropic's Admin API: messages usage report and cost report (`claude_code` has the third).

Paths, parameters, defaults and limits follow the provider's reference (platform.claude.com, Admin API). The requests
are those of `traffic`, under models of this provider; the bill is priced by LiteLLM's list, not by the pipeline's.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import orjson

from convergence.domain.money import exact_text
from convergence.sandbox import traffic
from convergence.sandbox.aggregate import DATA, PRICES_FILE
from convergence.sandbox.http import Request, Response
from convergence.sandbox.openai import Query

ORGANIZATION: Final = "org_sandbox"
ADMIN_KEY: Final = "sk-ant-admin-sandbox"
PREFIX: Final = "/v1/organizations/"
DAY: Final = 86_400
LIMIT: Final = (7, 31)  # days in one answer: default, most

MODELS: Final = {
    "gpt-4o-mini": "claude-haiku-4-5",
    "gpt-4.1-mini": "claude-haiku-4-5",
    "gpt-4o": "claude-sonnet-4-5",
    "gpt-4.1": "claude-sonnet-4-5",
    "gpt-4o-search-preview": "claude-sonnet-4-5",
    "gpt-5.6-luna": "claude-opus-4-8",
    "gpt-5-mini": "claude-opus-4-8",
}
GROUPS: Final = ("api_key_id", "workspace_id", "model", "service_tier", "context_window", "inference_geo", "speed")
FAST_MODE: Final = "fast-mode-2026-02-01"  # the beta that grouping by speed needs
COST_GROUPS: Final = ("workspace_id", "description")
# Count → (token type on the bill, key of the price list).
PRICED: Final = {
    "uncached_input_tokens": ("uncached_input_tokens", "input_cost_per_token"),
    "cache_read_input_tokens": ("cache_read_input_tokens", "cache_read_input_token_cost"),
    "5m": ("cache_creation.ephemeral_5m_input_tokens", "cache_creation_input_token_cost"),
    "1h": ("cache_creation.ephemeral_1h_input_tokens", "cache_creation_input_token_cost_above_1hr"),
    "output_tokens": ("output_tokens", "output_cost_per_token"),
}
COUNTS: Final = (*PRICED, "web_search_requests")

Results = Callable[[int, int], list[dict[str, Any]]]


def error(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error in the provider's shape."""
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_sandbox"}
    return Response(status, orjson.dumps(body), headers or {})


def is_ours(path: str) -> bool:
    """Whether the path belongs to this API."""
    return path in {PREFIX + "usage_report/messages", PREFIX + "cost_report", PREFIX + "usage_report/claude_code"}


def authorise(request: Request) -> Response | None:
    """Return the refusal of a wrong key or a missing version, else None."""
    if request.headers.get("x-api-key") != ADMIN_KEY:
        return error(401, "authentication_error", "invalid x-api-key")
    if "anthropic-version" not in request.headers:
        return error(400, "invalid_request_error", "anthropic-version: header is required")
    return None


def answer(request: Request) -> Response:
    """Answer a GET of the messages or the cost report that carries a good key."""
    query = Query(request.query)
    usage = request.path.endswith("messages")
    groups = query.many("group_by")
    allowed = GROUPS if usage else COST_GROUPS
    if unknown := [name for name in groups if name not in allowed]:
        return error(400, "invalid_request_error", f"group_by: {unknown[0]!r} is none of {', '.join(allowed)}")
    if "speed" in groups and FAST_MODE not in request.headers.get("anthropic-beta", "").split(","):
        return error(400, "invalid_request_error", f"group_by: speed requires the {FAST_MODE} beta header")
    try:
        return _page(query, (lambda a, b: _usage(groups, a, b)) if usage else (lambda a, b: _costs(groups, a, b)))
    except ValueError as problem:
        return error(400, "invalid_request_error", str(problem))


def _page(query: Query, results: Results) -> Response:
    if query.one("bucket_width", "1d") != "1d":
        raise ValueError("bucket_width: this sandbox knows 1d only")
    start = _seconds(query.one("starting_at"), "starting_at") // DAY * DAY
    end = _seconds(query.one("ending_at"), "ending_at") if query.one("ending_at") else start + DAY
    limit = int(query.one("limit", str(LIMIT[0])))
    if not 1 <= limit <= LIMIT[1]:
        raise ValueError(f"limit: must be from 1 to {LIMIT[1]}")
    cursor = query.one("page")
    first = int.from_bytes(base64.urlsafe_b64decode(cursor.removeprefix("page_")), "big") if cursor else start
    last = min(first + limit * DAY, end)
    data = [
        {"starting_at": _text(at), "ending_at": _text(at + DAY), "results": results(at, at + DAY)}
        for at in range(first, last, DAY)
    ]
    following = "page_" + base64.urlsafe_b64encode(last.to_bytes(8, "big")).decode() if last < end else None
    page = {"data": data, "has_more": following is not None, "next_page": following}
    return Response(200, orjson.dumps(page), {"anthropic-organization-id": ORGANIZATION})


def _seconds(text: str, name: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        raise ValueError(f"{name}: not an RFC 3339 time") from None


def _text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


@lru_cache(maxsize=64)
def messages(start: int, end: int) -> tuple[dict[str, Any], ...]:
    """Return ungrouped usage from `start` to before `end` (Unix seconds on full days); counts are disjoint."""
    return tuple(message(row) for row in traffic.rows("completions", start, end))


def message(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a group of the traffic's requests as one of this provider's."""
    model = MODELS[row["model"]]
    written = row["input_cache_write_tokens"]
    long = written // 2 if model == "claude-opus-4-8" else 0
    coding = row["project_id"] == "proj_coding"
    return {
        "api_key_id": row["api_key_id"],
        "workspace_id": "wrkspc_coding" if coding else None,  # the default workspace has no id
        "model": model,
        "service_tier": "batch" if row["batch"] else "standard",
        "context_window": "0-200k",
        "inference_geo": "global",
        "speed": "standard",
        "uncached_input_tokens": row["input_uncached_tokens"],
        "cache_read_input_tokens": row["input_cached_tokens"],
        "5m": written - long,
        "1h": long,
        "output_tokens": row["output_tokens"],
        "web_search_requests": row["num_model_requests"] if "search" in row["model"] else 0,
    }


def _usage(groups: list[str], start: int, end: int) -> list[dict[str, Any]]:
    sums: dict[tuple[Any, ...], dict[str, int]] = {}
    for row in messages(start, end):
        total = sums.setdefault(tuple(row[name] for name in groups), dict.fromkeys(COUNTS, 0))
        for name in COUNTS:
            total[name] += row[name]
    return [
        {
            "uncached_input_tokens": total["uncached_input_tokens"],
            "cache_read_input_tokens": total["cache_read_input_tokens"],
            "cache_creation": {"ephemeral_5m_input_tokens": total["5m"], "ephemeral_1h_input_tokens": total["1h"]},
            "output_tokens": total["output_tokens"],
            "server_tool_use": {"web_search_requests": total["web_search_requests"]},
            **dict.fromkeys(GROUPS),
            **dict(zip(groups, key, strict=True)),
        }
        for key, total in sorted(sums.items(), key=lambda item: str(item[0]))
    ]


@lru_cache(maxsize=1)
def prices() -> dict[str, dict[str, Any]]:
    """Return the list that the bill is priced with."""
    models: dict[str, dict[str, Any]] = json.loads((DATA / PRICES_FILE).read_text("utf-8"))["models"]
    return models


def charges(start: int, end: int) -> Iterator[tuple[dict[str, Any], Decimal]]:
    """Yield (description of a line of the bill, amount in USD) for each group of requests."""
    for row in messages(start, end):
        listed = prices()[row["model"]]
        who = {name: row[name] for name in ("workspace_id", "model", "service_tier", "context_window", "inference_geo")}
        suffix = "_batches" if row["service_tier"] == "batch" else ""
        for name, (token_type, key) in PRICED.items():
            if row[name]:
                price = Decimal(listed.get(key + suffix, listed[key]))
                words = f"{row['model']} Usage - {token_type}"
                yield {**who, "description": words, "cost_type": "tokens", "token_type": token_type}, row[name] * price
        if row["web_search_requests"]:
            price = Decimal(listed["search_context_cost_per_query"]["search_context_size_low"])
            line = {**who, "description": "Web Search Usage", "cost_type": "web_search", "token_type": None}
            yield line, row["web_search_requests"] * price


def _costs(groups: list[str], start: int, end: int) -> list[dict[str, Any]]:
    names = ("description", "cost_type", "context_window", "model", "service_tier", "token_type", "inference_geo")
    shown = [*(["workspace_id"] if "workspace_id" in groups else []), *(names if "description" in groups else ())]
    sums: dict[tuple[Any, ...], Decimal] = {}
    for line, amount in charges(start, end):
        key = tuple(line[name] for name in shown)
        sums[key] = sums.get(key, Decimal(0)) + amount
    nothing = dict.fromkeys(("workspace_id", *names))
    return [
        # Decimal text, in cents.
        {
            "currency": "USD",
            "amount": exact_text(amount * 100),
            **nothing,
            **dict(zip(shown, key, strict=True)),
        }
        for key, amount in sorted(sums.items(), key=lambda item: str(item[0]))
    ]
