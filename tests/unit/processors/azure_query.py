"""A run of Cost Management's query against the sandbox."""

from __future__ import annotations

import json
from typing import Any

from convergence.sandbox import azure_bill

PIPELINE = "cloud/azure/cost/cost_query"
APP = {"tenant_id": "sandbox", "client_id": "sandbox-app"}
KEY = json.dumps({**APP, "client_secret": "sandbox-secret"})
OCTOBER = {"start_date": "2026-10-20", "end_date": "2026-10-20"}


def asks(url: str, **more: Any) -> dict[str, Any]:
    """Return the parameters of a run."""
    place = {"scopes": azure_bill.SUBSCRIPTION, "api_base_url": url, "token_url": f"{url}/azure/token"}
    return {**place, **OCTOBER, **more}
