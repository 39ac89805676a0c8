"""Anthropic's Claude Code report: the coding half of the traffic, by user and day.

Shapes, names and limits follow the provider's reference (platform.claude.com, Admin API, Claude Code Usage Report).
Tokens are those of the messages report; users, sessions, lines and commits are assumed, from the number of requests.
"""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import orjson

from convergence.sandbox import anthropic, traffic
from convergence.sandbox.http import Request, Response
from convergence.sandbox.openai import Query

PATH: Final = anthropic.PREFIX + "usage_report/claude_code"
LIMIT: Final = (20, 1000)  # records in one answer: default, most
TERMINALS: Final = {"user_1": "vscode", "user_2": "iTerm.app", "user_3": "tmux"}
# Count of the messages report → name here.
TOKENS: Final = {
    "uncached_input_tokens": "input",
    "cache_read_input_tokens": "cache_read",
    "cache_write": "cache_creation",
    "output_tokens": "output",
}


def answer(request: Request) -> Response:
    """Answer a GET that carries a good key."""
    query = Query(request.query)
    try:
        day = date.fromisoformat(query.one("starting_at"))
        limit = int(query.one("limit", str(LIMIT[0])))
        first = int(base64.urlsafe_b64decode(query.one("page").removeprefix("page_") or b"MA=="))
    except ValueError:
        return anthropic.error(400, "invalid_request_error", "starting_at: a day YYYY-MM-DD; limit, page: as answered")
    if not 1 <= limit <= LIMIT[1]:
        return anthropic.error(400, "invalid_request_error", f"limit: must be from 1 to {LIMIT[1]}")
    found = records(day)
    more = first + limit < len(found)
    following = "page_" + base64.urlsafe_b64encode(str(first + limit).encode()).decode() if more else None
    body = {"data": found[first : first + limit], "has_more": more, "next_page": following}
    return Response(200, orjson.dumps(body))


def records(day: date) -> list[dict[str, Any]]:
    """Return the report of one day, one record for each user."""
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    users: dict[str, dict[str, dict[str, int]]] = {}
    requests: dict[str, int] = {}
    for row in traffic.rows("completions", start, start + anthropic.DAY):
        if row["project_id"] != "proj_coding":
            continue
        user = str(row["user_id"])
        requests[user] = requests.get(user, 0) + int(row["num_model_requests"] or 0)
        message = anthropic.message(row)
        message["cache_write"] = message["5m"] + message["1h"]
        sums = users.setdefault(user, {}).setdefault(message["model"], dict.fromkeys(TOKENS, 0))
        for name in TOKENS:
            sums[name] += message[name]
    return [_record(day, user, users[user], requests[user]) for user in sorted(users)]


def _record(day: date, user: str, models: dict[str, dict[str, int]], requests: int) -> dict[str, Any]:
    return {
        "date": f"{day.isoformat()}T00:00:00Z",
        "actor": {"type": "user_actor", "email_address": f"{user}@sandbox.example"},
        "organization_id": anthropic.ORGANIZATION,
        "customer_type": "subscription" if user == "user_3" else "api",
        "terminal_type": TERMINALS[user],
        "core_metrics": {
            "num_sessions": requests // 40 + 1,
            "lines_of_code": {"added": requests * 3, "removed": requests},
            "commits_by_claude_code": requests // 60,
            "pull_requests_by_claude_code": requests // 200,
        },
        "tool_actions": {
            "edit_tool": {"accepted": requests // 3, "rejected": requests // 20},
            "write_tool": {"accepted": requests // 9, "rejected": requests // 50},
        },
        "model_breakdown": [
            {
                "model": model,
                "tokens": {TOKENS[name]: count for name, count in models[model].items()},
                "estimated_cost": {"currency": "USD", "amount": _cents(model, models[model])},
            }
            for model in sorted(models)
        ],
    }


def _cents(model: str, counts: dict[str, int]) -> int:
    keys = {
        "uncached_input_tokens": "input_cost_per_token",
        "cache_read_input_tokens": "cache_read_input_token_cost",
        "cache_write": "cache_creation_input_token_cost",
        "output_tokens": "output_cost_per_token",
    }
    cost = sum((count * Decimal(anthropic.prices()[model][keys[name]]) for name, count in counts.items()), Decimal(0))
    return int((cost * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))
