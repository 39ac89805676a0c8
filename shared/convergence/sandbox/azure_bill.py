"""Azure's side: Cost Management's query on a whole subscription. Figures are made up and the same each time.

Shapes follow Query - Usage and Billing Property - Get; the token is that of the sandbox's app.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple

import orjson

from convergence.sandbox import azure
from convergence.sandbox.azure import days, error
from convergence.sandbox.http import Request, Response
from convergence.sandbox.openai import Query

SUBSCRIPTION: Final = "/subscriptions/00000000-0000-0000-0000-00000000b111"
ACCOUNT: Final = "/providers/Microsoft.Billing/billingAccounts/b111-sandbox"
PAGE_ROWS: Final = 7  # the service has a thousand
RESOURCE_TYPES: Final = {
    "Virtual Machines": "microsoft.compute/virtualmachines",
    "Storage": "microsoft.storage/storageaccounts",
    "Nodes of a farm": "microsoft.batch/batchaccounts",
    "Things": "acme.things/things",
}


class Line(NamedTuple):
    """What is charged each day: a price that grows with the day of the month. `amortised`: as amortised cost."""

    kind: str
    category: str
    meter: str
    group: str
    region: str
    price: Decimal
    amortised: Decimal


LINES: Final = tuple(
    Line(kind, category, meter, group, region, Decimal(price), Decimal(amortised))
    for kind, category, meter, group, region, price, amortised in (
        ("Usage", "Virtual Machines", "D2s v3", "web", "westeurope", "2.304", "2.304"),
        ("Usage", "Virtual Machines", "E4s v5", "data", "westeurope", "0", "3.1415926535"),
        ("Usage", "Storage", "Hot LRS Data Stored", "data", "northeurope", "0.0184", "0.0184"),
        ("Usage", "Storage", "Hot Write Operations", "web", "northeurope", "0.000054", "0.000054"),
        ("Purchase", "Virtual Machines", "Reservation E4s v5", "", "", "3.5", "0"),
        ("UnusedReservation", "Virtual Machines", "E4s v5", "", "", "0", "0.3584073465"),
        ("Usage", "Nodes of a farm", "Node", "data", "westeurope", "0.25", "0.25"),
        ("Usage", "Things", "Thing", "web", "westeurope", "0.5", "0.5"),
        ("Refund", "Storage", "Hot LRS Data Stored", "data", "northeurope", "-0.01", "-0.01"),
    )
)


def cost(line: Line, day: date, cost_type: str = "ActualCost") -> Decimal:
    """Return what a line costs on a day."""
    return (line.price if cost_type == "ActualCost" else line.amortised) * day.day


def is_ours(path: str) -> bool:
    """Return whether a request is for this subscription."""
    return path.startswith(f"/v1{SUBSCRIPTION}/")


def answer(request: Request) -> Response:
    """Answer who pays, or a page of costs."""
    if request.headers.get("authorization") != f"Bearer {azure.TOKEN}":
        return error(401, "InvalidAuthenticationToken", "The access token is invalid.")
    path, query = request.path.removeprefix("/v1"), Query(request.query)
    if path == f"{SUBSCRIPTION}/providers/Microsoft.Billing/billingProperty/default":
        return Response(200, orjson.dumps({"properties": {"billingAccountId": ACCOUNT}}))
    if path == f"{SUBSCRIPTION}/providers/Microsoft.CostManagement/query" and request.method == "POST":
        return _costs(request, query, orjson.loads(request.body))
    return error(404, "ResourceNotFound", f"The resource {path} was not found.")


def _costs(request: Request, query: Query, body: dict[str, Any]) -> Response:
    period, groups = body["timePeriod"], [one["name"] for one in body["dataset"]["grouping"]]
    only = body["dataset"].get("filter", {}).get("dimensions")
    sums: dict[tuple[date, tuple[str, ...]], Decimal] = {}
    for day in days(period["from"][:10], period["to"][:10], inclusive=True):
        for line in LINES:
            spent = cost(line, day, body["type"])
            if spent and (only is None or _value(line, only["name"]) in only["values"]):
                key = day, tuple(_value(line, name) for name in groups)
                sums[key] = sums.get(key, Decimal(0)) + spent
    rows = [[orjson.Fragment(f"{spent:f}".encode()), int(f"{day:%Y%m%d}"), *keys, "EUR"]
            for (day, keys), spent in sums.items()]  # fmt: skip
    at = int(query.one("$skiptoken", "0"))
    address = f"http://{request.headers['host']}{request.path}?api-version={query.one('api-version')}"
    link = f"{address}&$skiptoken={at + PAGE_ROWS}" if at + PAGE_ROWS < len(rows) else None
    names = ("Cost", "UsageDate", *groups, "Currency")
    columns = [{"name": name, "type": "Number" if name in names[:2] else "String"} for name in names]
    return Response(
        200, orjson.dumps({"properties": {"columns": columns, "rows": rows[at : at + PAGE_ROWS], "nextLink": link}})
    )


def _value(line: Line, dimension: str) -> str:
    return {
        "ChargeType": line.kind,
        "MeterCategory": line.category,
        "Meter": line.meter,
        "SubscriptionId": SUBSCRIPTION.rpartition("/")[2],
        "ResourceGroupName": line.group,
        "ResourceType": RESOURCE_TYPES[line.category],
        "ResourceLocation": line.region,
    }[dimension]
