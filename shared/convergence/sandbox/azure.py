"""Azure's side: Entra tokens, Monitor metrics and Cost Management of one Azure OpenAI account.

Shapes follow RFC 6749 section 4.4, Azure Monitor's Metrics - List and Cost Management's Query - Usage. Tokens are those
of the coding half of the traffic, under one model, priced by LiteLLM's list for Azure.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from convergence.sandbox import anthropic, traffic
from convergence.sandbox.http import Request, Response
from convergence.sandbox.openai import Query

SUBSCRIPTION: Final = "/subscriptions/00000000-0000-0000-0000-00000000c0de"
RESOURCE: Final = f"{SUBSCRIPTION}/resourceGroups/sandbox/providers/Microsoft.CognitiveServices/accounts/sandbox-openai"
ACCOUNT: Final = "/providers/Microsoft.Billing/billingAccounts/00000000-sandbox"
CREDENTIAL: Final = '{"client_id": "sandbox-app", "client_secret": "sandbox-secret"}'
ASSERTION: Final = "eyJ.sandbox.assertion"
JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TOKEN: Final = "eyJ.sandbox"  # noqa: S105 - of the sandbox
TOKEN_PATH: Final = "/v1/azure/token"  # noqa: S105 - an address
MODEL: Final = "gpt-4o"
PAGE_ROWS: Final = 10  # the service has a thousand
METERS: Final = {  # kind of token → (meter, its id, key of the price list)
    "input": ("gpt 4o Inp glbl Tokens", "meter-input", "input_cost_per_token"),
    "cached": ("gpt 4o cached Inp glbl Tokens", "meter-cached", "cache_read_input_token_cost"),
    "output": ("gpt 4o Outp glbl Tokens", "meter-output", "output_cost_per_token"),
}


def error(status: int, code: str, message: str) -> Response:
    """Return an error in the provider's shape."""
    return Response(status, orjson.dumps({"error": {"code": code, "message": message}}))


def is_ours(path: str) -> bool:
    """Whether the path belongs to these APIs."""
    return path == TOKEN_PATH or path.startswith("/v1/subscriptions/")


def answer(request: Request) -> Response:
    """Answer a token request, a metric, or a page of costs."""
    if request.path == TOKEN_PATH:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        proof = form.get("client_secret") or (form.get("client_assertion_type"), form.get("client_assertion"))
        if form.get("client_id") != "sandbox-app" or proof not in {"sandbox-secret", (JWT_BEARER, ASSERTION)}:
            return Response(401, orjson.dumps({"error": "invalid_client"}))
        return Response(200, orjson.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3599}))
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        return error(401, "InvalidAuthenticationToken", "The access token is invalid.")
    path, query = request.path.removeprefix("/v1"), Query(request.query)
    if not query.one("api-version"):
        return error(400, "MissingApiVersionParameter", "The api-version query parameter is required.")
    if path == f"{RESOURCE}/providers/Microsoft.Insights/metrics":
        return _metric(query)
    if path == f"{RESOURCE}/deployments":
        return Response(200, orjson.dumps(_deployments(request, query)))
    if path == f"{SUBSCRIPTION}/providers/Microsoft.Billing/billingProperty/default":
        found = {"billingAccountId": ACCOUNT, "billingAccountDisplayName": "Sandbox Ltd"}
        return Response(200, orjson.dumps({"id": path, "name": "default", "properties": found}))
    if path == f"{SUBSCRIPTION}/providers/Microsoft.CostManagement/query" and request.method == "POST":
        return _costs(request, query, orjson.loads(request.body))
    return error(404, "ResourceNotFound", f"The resource {path} was not found.")


def _deployments(request: Request, query: Query) -> dict[str, Any]:
    """Return one deployment a page: the coding one has provisioned units, its batch one is paid by token."""
    found = [
        {
            "name": name,
            "sku": {"name": sku, "capacity": capacity},
            "properties": {"model": {"name": MODEL, "version": "2024-11-20"}, "provisioningState": "Succeeded"},
        }
        for name, sku, capacity in (("coding", "ProvisionedManaged", 15), ("coding-batch", "GlobalBatch", 50))
    ]
    at = int(query.one("$skiptoken", "0"))
    address = f"http://{request.headers['host']}{request.path}?api-version={query.one('api-version')}"
    link = {"nextLink": f"{address}&$skiptoken={at + 1}"} if at + 1 < len(found) else {}
    return {"value": found[at : at + 1], **link}


def usage(day: date) -> dict[str, dict[str, int]]:
    """Return the day's tokens and requests by deployment; the kinds of tokens are disjoint."""
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    found: dict[str, dict[str, int]] = {}
    names = {"input": "input_uncached_tokens", "cached": "input_cached_tokens", "output": "output_tokens"}
    names["requests"] = "num_model_requests"
    for row in traffic.rows("completions", start, start + 86_400):
        if row["project_id"] == "proj_coding":
            sums = found.setdefault("coding-batch" if row["batch"] else "coding", dict.fromkeys(names, 0))
            for kind, name in names.items():
                sums[kind] += int(row[name] or 0)
    return found


def charges(day: date) -> dict[str, tuple[int, Decimal]]:
    """Return (tokens, USD) of the day by kind of token."""
    sums = {kind: sum(one[kind] for one in usage(day).values()) for kind in METERS}
    prices = anthropic.prices()[f"azure/{MODEL}"]
    return {kind: (count, count * Decimal(prices[METERS[kind][2]])) for kind, count in sums.items() if count}


def _metric(query: Query) -> Response:
    begin, _, end = query.one("timespan").partition("/")
    metric, top = query.one("metricnames"), int(query.one("top", "10"))
    parts = {"ProcessedPromptTokens": ("input", "cached"), "GeneratedTokens": ("output",)}.get(metric, ("requests",))
    series: dict[str, list[dict[str, Any]]] = {}
    for day in days(begin[:10], end[:10], inclusive=False):
        for deployment, sums in usage(day).items():
            point = {"timeStamp": f"{day}T00:00:00Z", "total": float(sum(sums[part] for part in parts))}
            series.setdefault(deployment, []).append(point)
    found = [
        {
            "metadatavalues": [
                {"name": {"value": "modeldeploymentname"}, "value": deployment},
                {"name": {"value": "modelname"}, "value": MODEL},
            ],
            "data": data,
        }
        for deployment, data in sorted(series.items())
    ]
    value = {"name": {"value": metric}, "unit": "Count", "timeseries": found[:top], "errorCode": "Success"}
    return Response(200, orjson.dumps({"interval": "P1D", "value": [value]}))


def _costs(request: Request, query: Query, body: dict[str, Any]) -> Response:
    period, groups = body["timePeriod"], [one["name"] for one in body["dataset"]["grouping"]]
    rows = [
        [
            *(orjson.Fragment(f"{cost:f}".encode()), count, int(f"{day:%Y%m%d}")),
            *({"Meter": METERS[kind][0], "MeterId": METERS[kind][1], "UnitOfMeasure": "1K"}[name] for name in groups),
            "USD",
        ]
        for day in days(period["from"][:10], period["to"][:10], inclusive=True)
        for kind, (count, cost) in charges(day).items()
    ]
    at = int(query.one("$skiptoken", "0"))
    address = f"http://{request.headers['host']}{request.path}?api-version={query.one('api-version')}"
    link = f"{address}&$skiptoken={at + PAGE_ROWS}" if at + PAGE_ROWS < len(rows) else None
    names = ("Cost", "UsageQuantity", "UsageDate", *groups, "Currency")
    columns = [{"name": name, "type": "Number" if name in names[:3] else "String"} for name in names]
    page = {"properties": {"columns": columns, "rows": rows[at : at + PAGE_ROWS], "nextLink": link}}
    return Response(200, orjson.dumps(page))


def days(first: str, last: str, *, inclusive: bool) -> list[date]:
    """Return the days from `first` to `last`, as a request has them."""
    begin = date.fromisoformat(first)
    return [begin + timedelta(days=n) for n in range((date.fromisoformat(last) - begin).days + int(inclusive))]
