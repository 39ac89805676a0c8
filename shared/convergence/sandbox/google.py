"""Google's side: tokens for service accounts, Cloud Monitoring, and the rows of the billing export.

Shapes follow RFC 7523 and Monitoring API v3; `sandbox/bigquery.py` answers queries. Tokens of models are those of the
chat half of the traffic, under one model of this provider, priced by LiteLLM's list; contract, discount, credit, label
and region are assumed.
"""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from convergence.sandbox import anthropic, traffic
from convergence.sandbox.http import Request, Response
from convergence.sandbox.openai import Query

PROJECT: Final = "sandbox-project"
TABLE: Final = f"{PROJECT}.billing.gcp_billing_export_v1_000000_111111_222222"
ACCOUNT: Final = "000000-111111-222222"
MODEL: Final = "gemini-2.5-flash"
EMAIL: Final = f"convergence@{PROJECT}.iam.gserviceaccount.com"
TOKEN: Final = "ya29.sandbox"  # noqa: S105 - of the sandbox
TOKEN_PATH: Final = "/v1/google/token"  # noqa: S105 - an address
PROMOTION: Final = Decimal("-0.1")  # of the cost of uncached input
DISCOUNT: Final = Decimal("-0.05")  # of the cost of output
CONTRACT: Final = Decimal("0.9")  # of the list price: negotiated
PRICED: Final = 1_000_000  # tokens that a price of the export is for
REGION: Final = "europe-west1"
LABELS: Final = '[{"key":"team","value":"search"}]'
SKUS: Final = {  # kind of token → (SKU, its description, key of the price list)
    "input": ("SBX-INPUT", f"Generate content input token count {MODEL}", "input_cost_per_token"),
    "cached": ("SBX-CACHED", f"Generate content cached input token count {MODEL}", "cache_read_input_token_cost"),
    "output": ("SBX-OUTPUT", f"Generate content output token count {MODEL}", "output_cost_per_token"),
}
SERVICES: Final = ("Gemini API", "Vertex AI")  # even days of the traffic, odd days


def error(status: int, message: str, word: str) -> Response:
    """Return an error in the provider's shape; BigQuery's clients read `reason`."""
    reasons = {"PERMISSION_DENIED": "accessDenied", "NOT_FOUND": "notFound", "INVALID_ARGUMENT": "invalidQuery"}
    detail = {"message": message, "reason": reasons.get(word, "authError")}
    detailed = {"code": status, "message": message, "status": word, "errors": [detail]}
    return Response(status, orjson.dumps({"error": detailed}))


@lru_cache(maxsize=1)
def _private_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def service_account(base_url: str) -> str:
    """Return the JSON key that this sandbox knows."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = _private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    key = {"type": "service_account", "project_id": PROJECT, "private_key_id": "sandbox", "private_key": pem}
    return orjson.dumps({**key, "client_email": EMAIL, "token_uri": f"{base_url}/google/token"}).decode()


def is_ours(path: str) -> bool:
    """Whether the path belongs to these APIs."""
    return path == TOKEN_PATH or path.startswith("/v1/projects/")


def answer(request: Request) -> Response:
    """Answer a token request or a list of time series."""
    if request.path == TOKEN_PATH:
        return _token(request)
    if not request.path.endswith("/timeSeries"):
        return error(404, f"{request.path} is not here", "NOT_FOUND")
    query = Query(request.query)
    return refusal(request) or (_limits() if "dedicated_gsu_limit" in query.one("filter") else _time_series(query))


def refusal(request: Request) -> Response | None:
    """Return the reason why a request for a project's data is refused; None when it is allowed."""
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        return error(401, "Request had invalid authentication credentials.", "UNAUTHENTICATED")
    project = request.path.partition("/projects/")[2].partition("/")[0]
    if project != PROJECT:
        return error(403, f"Access denied to project {project}", "PERMISSION_DENIED")
    return None


def _token(request: Request) -> Response:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.hashes import SHA256

    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    signed, _, signature = form.get("assertion", "").rpartition(".")
    try:
        claims = orjson.loads(_unbase64(signed.split(".")[1]))
        _private_key().public_key().verify(_unbase64(signature), signed.encode(), padding.PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError, IndexError):
        return Response(400, orjson.dumps({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}))
    if claims["iss"] != EMAIL or not claims["scope"].startswith("https://www.googleapis.com/auth/"):
        return Response(400, orjson.dumps({"error": "invalid_grant", "error_description": "account not found"}))
    return Response(200, orjson.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3599}))


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def tokens(day: date) -> dict[str, int]:
    """Return the day's tokens by kind; disjoint."""
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    rows = [row for row in traffic.rows("completions", start, start + 86_400) if row["project_id"] == "proj_assistant"]
    names = {"input": "input_uncached_tokens", "cached": "input_cached_tokens", "output": "output_tokens"}
    return {kind: sum(int(row[name] or 0) for row in rows) for kind, name in names.items()}


def export(first: date, last: date, services: list[str]) -> list[dict[str, str | None]]:
    """Return what the query of the billing export gives, a value for each column, as text."""
    rows: list[dict[str, str | None]] = []
    for day in (first + timedelta(days=number) for number in range((last - first).days + 1)):
        service = SERVICES[day.toordinal() % 2]
        for kind, quantity in tokens(day).items() if service in services else ():
            sku, words, key = SKUS[kind]
            listed = Decimal(anthropic.prices()[f"gemini/{MODEL}"][key])
            cost = quantity * listed * CONTRACT
            promotion = cost * PROMOTION if kind == "input" else Decimal(0)
            discount = cost * DISCOUNT if kind == "output" else Decimal(0)
            values = {
                "usage_date": day.isoformat(),
                "billing_account_id": ACCOUNT,
                "project_id": PROJECT,
                "service": service,
                "sku_id": sku,
                "sku": words,
                "unit": "count",
                "currency": "USD",
                "quantity": str(quantity),
                "consumed_quantity": str(quantity),
                "consumed_unit": "count",
                "cost": f"{cost:f}",
                "credits": f"{promotion + discount:f}",
                "grants": f"{promotion:f}",
                "grant_names": "Welcome credit" if promotion else None,
                "list_cost": f"{quantity * listed:f}",
                "list_price": f"{listed * PRICED:f}",
                "effective_price": f"{listed * CONTRACT * PRICED:f}",
                "price_quantity": str(PRICED),
                "project_name": "Sandbox",
                "cost_type": "regular",
                "invoice_month": f"{day:%Y%m}",
                "region": REGION,
                "labels": LABELS,
                "resource_id": None,
                "resource_name": None,
            }
            rows.append({**values})
    return rows


def _limits() -> Response:
    """Return the scale units of the model now and an hour ago."""
    labels = {"model_user_id": MODEL, "location": "us-central1", "publisher": "google"}
    points = [
        {"interval": {"startTime": at, "endTime": at}, "value": {"int64Value": units}}
        for at, units in (("2026-11-30T02:00:00Z", "2"), ("2026-11-30T01:00:00Z", "1"))
    ]
    series = {"resource": {"type": "aiplatform.googleapis.com/PublisherModel", "labels": labels}, "points": points}
    return Response(200, orjson.dumps({"timeSeries": [series]}))


def _time_series(query: Query) -> Response:
    first = datetime.fromisoformat(query.one("interval.startTime")).date()
    end = datetime.fromisoformat(query.one("interval.endTime")).date()
    kinds = ("input", "output")
    at = int(query.one("pageToken", "0"))
    series = []
    for kind in kinds[at : at + 1]:
        points = []
        for day in (first + timedelta(days=number) for number in range((end - first).days)):
            found = tokens(day)
            total = found["output"] if kind == "output" else found["input"] + found["cached"]
            interval = {"startTime": f"{day}T00:00:00Z", "endTime": f"{day + timedelta(days=1)}T00:00:00Z"}
            points.append({"interval": interval, "value": {"int64Value": str(total)}})
        labels = {"type": "aiplatform.googleapis.com/PublisherModel", "labels": {"model_user_id": MODEL}}
        series.append({"metric": {"labels": {"type": kind}}, "resource": labels, "points": points})
    more = at + 1 < len(kinds)
    return Response(200, orjson.dumps({"timeSeries": series, **({"nextPageToken": str(at + 1)} if more else {})}))
