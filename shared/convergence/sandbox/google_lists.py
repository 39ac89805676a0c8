"""Lists of Google's APIs: billing accounts (Cloud Billing API v1), machines of all zones (Compute Engine API v1).

What is in them is assumed: two accounts on two pages, and three machines in two of three zones.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from convergence.sandbox import google
from convergence.sandbox.http import Request, Response
from convergence.sandbox.openai import Query

ACCOUNTS_PATH: Final = "/v1/billingAccounts"
INSTANCES_PATH: Final = f"/v1/compute/v1/projects/{google.PROJECT}/aggregated/instances"
ACCOUNTS: Final = (
    {"name": f"billingAccounts/{google.ACCOUNT}", "displayName": "Sandbox", "open": True, "currencyCode": "USD"},
    {"name": "billingAccounts/333333-444444-555555", "displayName": "Closed", "open": False, "currencyCode": "EUR"},
)
_EMPTY: Final = {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "There are no results for scope on this page."}}


def _machine(name: str, zone: str, kind: str) -> dict[str, Any]:
    root = f"https://www.googleapis.com/compute/v1/projects/{google.PROJECT}/zones/{zone}"
    return {"id": f"{sum(name.encode())}", "name": name, "zone": root, "machineType": f"{root}/machineTypes/{kind}",
            "status": "RUNNING", "labels": {"team": "search"}}  # fmt: skip


ZONES: Final[tuple[dict[str, Any], ...]] = (
    {
        "zones/europe-west1-b": {
            "instances": [
                _machine("web-1", "europe-west1-b", "n2-standard-4"),
                _machine("web-2", "europe-west1-b", "n2-standard-4"),
            ]
        },
        "zones/europe-west1-c": _EMPTY,
    },
    {"zones/us-central1-a": {"instances": [_machine("batch-1", "us-central1-a", "e2-small")]}},
)


def is_ours(path: str) -> bool:
    """Whether the path belongs to these APIs."""
    return path == ACCOUNTS_PATH or path.startswith("/v1/compute/v1/")


def answer(request: Request) -> Response:
    """Answer a page of a list."""
    if request.headers.get("authorization") != f"Bearer {google.TOKEN}":
        return google.error(401, "Request had invalid authentication credentials.", "UNAUTHENTICATED")
    at = Query(request.query).whole("pageToken", 0)
    if request.path == ACCOUNTS_PATH:
        return _page("billingAccounts", [ACCOUNTS[at]], at, len(ACCOUNTS))
    if request.path != INSTANCES_PATH:
        return google.error(403, "Required 'compute.instances.list' permission", "PERMISSION_DENIED")
    return _page("items", ZONES[at], at, len(ZONES))


def _page(name: str, items: Any, at: int, pages: int) -> Response:
    more = {"nextPageToken": str(at + 1)} if at + 1 < pages else {}
    return Response(200, orjson.dumps({name: items, **more}))
