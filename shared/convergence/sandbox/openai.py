"""OpenAI's organization usage and costs API: its endpoints, their rules and their refusals.

Paths, parameters, defaults and limits follow the OpenAPI document 2.3.0 (openai/openai-openapi, MIT).
"""

from __future__ import annotations

import base64
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from convergence.domain.money import exact_text
from convergence.sandbox import bill, traffic
from convergence.sandbox.http import Request, Response
from convergence.sandbox.kinds import KINDS, Kind

DAY: Final = 86_400
WIDTHS: Final = {"1d": DAY, "1h": 3600, "1m": 60}
LIMITS: Final = {"1d": (7, 31), "1h": (24, 168), "1m": (60, 1440)}  # default, most
UNUSED: Final = "decisions"  # an endpoint that the organization has, but does not use
COST_LIMITS: Final = (7, 180)
COST_GROUPS: Final = ("project_id", "line_item", "api_key_id")
KEYS_SINCE: Final = 1_764_979_200  # costs of earlier days cannot be grouped by key
BUCKETS_WHEN_OPEN: Final = 1  # without end_time the answer is the bucket of start_time

Results = Callable[[int, int], list[dict[str, Any]]]  # bucket start and end → its results

ORGANIZATION: Final = "org-sandbox"
ADMIN_KEY: Final = "sk-admin-sandbox"
PROJECT_KEY_PREFIX: Final = "sk-proj-"


class Refused(Exception):
    """The request breaks a rule of the API."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        self.response = error(status, message, param=param, code=code)
        super().__init__(message)


def error(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return an error in the provider's shape."""
    kind = {429: "requests", 500: "server_error"}.get(status, "invalid_request_error")
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Response(status, orjson.dumps(body), headers or {})


class Query:
    """The parameters of a request, both spellings of an array: `name=a&name=b` and `name[]=a`."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = defaultdict(list)
        for name, value in pairs:
            self._values[name.removesuffix("[]")].append(value)

    def many(self, name: str, allowed: Sequence[str] | None = None) -> list[str]:
        """All values of an array; each must be one of `allowed`."""
        values = self._values.get(name, [])
        for value in values:
            if allowed is not None and value not in allowed:
                raise Refused(400, f"Invalid value: '{value}'. Supported values are: {', '.join(allowed)}.", param=name)
        return values

    def one(self, name: str, default: str = "") -> str:
        """A single value."""
        return self._values.get(name, [default])[-1]

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number; required without a default."""
        text = self.one(name)
        if not text and default is not None:
            return default
        if not text.isdigit():
            message = "Missing required parameter" if not text else "Invalid type for"
            raise Refused(400, f"{message}: '{name}'.", param=name)
        return int(text)


def answer(request: Request) -> Response:
    """Answer a request that carries a good key."""
    _, _, path = request.path.partition("/organization/")
    query = Query(request.query)
    try:
        if path == "costs":
            _refuse_early_keys(query)
            return _page(request, query, "1d", COST_LIMITS, lambda start, end: _costs(query, start, end))
        area, _, name = path.partition("/")
        if area == "usage" and name == UNUSED:
            return _page(request, query, "1d", LIMITS["1d"], lambda _start, _end: [])
        kind = KINDS.get(name) if area == "usage" else None
        if kind is None:
            return error(404, f"Invalid URL ({request.method} {request.path})")
        width = query.one("bucket_width", "1d")
        if width not in WIDTHS:
            raise Refused(400, f"Invalid value: '{width}'. Supported values are: 1m, 1h, 1d.", param="bucket_width")
        return _page(request, query, width, LIMITS[width], lambda start, end: _usage(kind, query, start, end))
    except Refused as refusal:
        return refusal.response


def _refuse_early_keys(query: Query) -> None:
    if "api_key_id" in query.many("group_by", COST_GROUPS) and query.whole("start_time") < KEYS_SINCE:
        message = f"'group_by' with 'api_key_id' is only supported for 'start_time' on or after {KEYS_SINCE}."
        raise Refused(400, message, param="group_by")


def authorise(request: Request) -> Response | None:
    """Return the refusal of a wrong key (401) or of a key that is not an admin key (403), or None."""
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    if key == ADMIN_KEY:
        return None
    if key.startswith(PROJECT_KEY_PREFIX):
        message = "You have insufficient permissions for this operation. Missing scopes: api.usage.read."
        return error(403, message, code="missing_scope")
    return error(401, "Incorrect API key provided.", code="invalid_api_key")


def _page(request: Request, query: Query, width: str, limits: tuple[int, int], results: Results) -> Response:
    """Cut the time range into buckets and answer the page that the cursor names."""
    seconds = WIDTHS[width]
    start = query.whole("start_time") // seconds * seconds
    end = query.whole("end_time", start + BUCKETS_WHEN_OPEN * seconds)
    if end <= start:
        raise Refused(400, "'end_time' must be after 'start_time'.", param="end_time")
    limit = query.whole("limit", limits[0])
    if not 1 <= limit <= limits[1]:
        raise Refused(400, f"Invalid 'limit': expected a value from 1 to {limits[1]}.", param="limit")
    first = _cursor_start(query.one("page"), start)
    last = min(first + limit * seconds, end)
    buckets = [
        {"object": "bucket", "start_time": at, "end_time": at + seconds, "results": results(at, at + seconds)}
        for at in range(first, last, seconds)
    ]
    more = last < end
    body = {"object": "page", "data": buckets, "has_more": more, "next_page": _cursor(last) if more else None}
    headers = {"openai-organization": ORGANIZATION, "x-request-id": f"req_{zlib.crc32(request.path.encode()):08x}"}
    return Response(200, orjson.dumps(body), headers)


def _cursor(at: int) -> str:
    return "page_" + base64.urlsafe_b64encode(at.to_bytes(8, "big")).decode("ascii")


def _cursor_start(page: str, start: int) -> int:
    if not page:
        return start
    try:
        return int.from_bytes(base64.urlsafe_b64decode(page.removeprefix("page_")), "big")
    except ValueError:
        raise Refused(400, "Invalid 'page'.", param="page") from None


def _usage(kind: Kind, query: Query, start: int, end: int) -> list[dict[str, Any]]:
    groups = query.many("group_by", kind.group_by)
    expected = {field: query.many(name) for name, field in kind.filters.items()}
    sums: dict[tuple[Any, ...], dict[str, int]] = {}
    for row in traffic.rows(kind.name, start, end):
        if any(values and str(row[name]).lower() not in values for name, values in expected.items()):
            continue
        total = sums.setdefault(tuple(row[name] for name in groups), dict.fromkeys(kind.metrics, 0))
        for metric in kind.metrics:
            total[metric] += int(row[metric] or 0)
    nothing = dict.fromkeys(kind.group_by)
    return [
        {
            "object": f"organization.usage.{kind.object}.result",
            **metrics,
            **nothing,
            **dict(zip(groups, key, strict=True)),
        }
        for key, metrics in sorted(sums.items(), key=lambda item: str(item[0]))
    ]


def _costs(query: Query, start: int, end: int) -> list[dict[str, Any]]:
    groups = query.many("group_by", COST_GROUPS)
    expected = {"project_id": query.many("project_ids"), "api_key_id": query.many("api_key_ids")}
    sums: dict[tuple[Any, ...], tuple[Decimal, int, str | None]] = {}
    for charge in bill.charges(start, end):
        if any(values and getattr(charge, name) not in values for name, values in expected.items()):
            continue
        key = tuple(getattr(charge, name) for name in groups)
        amount, quantity, _ = sums.get(key, (Decimal(0), 0, None))
        sums[key] = (amount + charge.amount, quantity + charge.quantity, charge.quantity_unit)
    by_line = "line_item" in groups
    return [
        {
            "object": "organization.costs.result",
            # A number in the answer, written digit by digit: a float would not hold it.
            "amount": {"value": orjson.Fragment(exact_text(amount).encode()), "currency": "usd"},
            **dict.fromkeys(COST_GROUPS),
            **dict(zip(groups, key, strict=True)),
            "quantity": quantity if by_line else None,
            "quantity_unit": unit if by_line else None,
        }
        for key, (amount, quantity, unit) in sorted(sums.items(), key=lambda item: str(item[0]))
    ]
