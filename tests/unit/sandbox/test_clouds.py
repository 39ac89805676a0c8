"""Google's, Azure's and Claude Code's side of the sandbox keep their APIs' rules; a fault is what it is called."""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from convergence.sandbox import anthropic, azure, bigquery, claude_code, google
from convergence.sandbox.__main__ import plans
from convergence.sandbox.faults import NAMES, Plan
from convergence.sandbox.http import Request, Response
from convergence.sandbox.server import Sandbox

DAY = date(2026, 11, 10)


def ask(path: str, headers: dict[str, str], body: bytes = b"", method: str = "GET", **query: Any) -> Response:
    pairs = [(name.replace("__", "."), str(value)) for name, value in query.items()]
    return Sandbox(faults=False).answer(Request(method, path, pairs, headers, body))


def claude(**query: Any) -> Response:
    headers = {"x-api-key": anthropic.ADMIN_KEY, "anthropic-version": "2023-06-01"}
    return ask(claude_code.PATH, headers, **query)


def test_claude_codes_pages_hold_every_record_once() -> None:
    seen: list[Any] = []
    page: dict[str, Any] = {"has_more": True, "next_page": ""}
    while page["has_more"]:
        page = orjson.loads(claude(starting_at=DAY, limit=2, page=page["next_page"]).body)
        seen += page["data"]
    assert seen == claude_code.records(DAY)
    assert len(seen) == 3


@pytest.mark.parametrize("query", [{"starting_at": "2026-11-10T00:00:00Z"}, {"starting_at": DAY, "limit": 1001}, {}])
def test_claude_code_asks_for_one_day_and_a_page_of_at_most_a_thousand(query: dict[str, Any]) -> None:
    assert claude(**query).status == 400


def test_claude_codes_tokens_are_those_of_the_messages_report() -> None:
    start = (DAY - date(1970, 1, 1)).days * anthropic.DAY
    coding = [row for row in anthropic.messages(start, start + anthropic.DAY) if row["workspace_id"] is not None]
    models = [part["tokens"] for record in claude_code.records(DAY) for part in record["model_breakdown"]]
    assert sum(one["output"] for one in models) == sum(row["output_tokens"] for row in coding) > 0
    assert sum(one["input"] for one in models) == sum(row["uncached_input_tokens"] for row in coding)


def test_google_wants_a_token_a_known_project_and_a_known_table() -> None:
    root, good = f"{bigquery.ROOT}/projects", {"authorization": f"Bearer {google.TOKEN}"}
    body = orjson.dumps({"query": "SELECT 1 FROM `other.table`"})
    assert ask(f"{root}/{google.PROJECT}/queries", {}, body, "POST").status == 401
    assert ask(f"{root}/other/queries", good, body, "POST").status == 403
    assert ask(f"{root}/{google.PROJECT}/queries", good, body, "POST").status == 404


def test_google_gives_tokens_for_good_signatures_only() -> None:
    form = urlencode({"grant_type": "jwt", "assertion": "e30.e30.c2lnbmVk"}).encode()
    assert ask(google.TOKEN_PATH, {}, form, "POST").status == 400


def test_azure_wants_a_token_a_version_and_a_known_resource() -> None:
    path, good = f"/v1{azure.RESOURCE}/providers/Microsoft.Insights/metrics", {"authorization": f"Bearer {azure.TOKEN}"}
    assert ask(path, {}).status == 401
    assert ask(path, good).status == 400
    version: dict[str, Any] = {"api-version": "1"}
    assert ask("/v1/subscriptions/other", good, **version).status == 404


def test_azure_answers_ten_series_unless_asked_for_more() -> None:
    path, good = f"/v1{azure.RESOURCE}/providers/Microsoft.Insights/metrics", {"authorization": f"Bearer {azure.TOKEN}"}
    query: dict[str, Any] = {"api-version": "1", "timespan": "2026-11-10T00:00:00Z/2026-11-11T00:00:00Z"}
    for top, count in ((1, 1), (10, 2)):
        page = orjson.loads(ask(path, good, **query, metricnames="GeneratedTokens", top=top).body)
        assert len(page["value"][0]["timeseries"]) == count


def test_a_fault_hits_the_answers_that_its_plan_names_and_no_other() -> None:
    plan = Plan("html", "/usage", first=2, times=1)
    good = Response(200, b'{"data": []}')
    paths = ["/usage/a", "/costs", "/usage/b", "/usage/c"]
    kinds = [plan.apply(Request("GET", path, [], {}, b""), good).content_type for path in paths]
    assert [kind == "text/html" for kind in kinds] == [False, False, True, False]
    assert (plan.seen, plan.hits) == (3, 1)


def test_the_command_line_knows_every_fault_and_refuses_others() -> None:
    assert [(plan.fault, plan.path) for plan in plans(["truncated=/usage", "bomb"])] == [
        ("truncated", "/usage"),
        ("bomb", ""),
    ]
    assert len(NAMES) == len(set(NAMES)) == 19
    with pytest.raises(SystemExit, match="no fault is called 'gone'"):
        plans(["gone=/x"])
