"""The pages of costs: the summary, the charges behind it, the raw rows behind a charge, and a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from convergence.engine.daily_costs import FOCUS, Row
from convergence.entry.api.auth import OrgName, Reader
from convergence.entry.api.runtime import At, Runtime
from convergence.entry.ui.pages import HEADERS, PageRoute, page
from convergence.entry.ui.views.cost_queries import (
    CHARGES_PER_PAGE,
    ask,
    charged_sql,
    charges_sql,
    days,
    raw_rows,
    tables_of,
)
from convergence.entry.ui.views.costs import (
    DAYS_MAX,
    FILTER_MAX,
    Asked,
    costs_page,
    csv_rows,
    currencies_of,
    filtered,
)
from convergence.entry.ui.views.summaries import DIMENSIONS, Dimension, Summaries
from convergence.errors import InvalidInput
from convergence.ports.warehouse import Parameter

router = APIRouter(route_class=PageRoute)
_DAYS: Final = 30
Short = Annotated[str, Query(max_length=300)]
Day = Annotated[str, Query(max_length=10)]


@router.get("/{org}/costs")
async def costs(
    request: Request,
    org: OrgName,
    at: At,
    _: Reader,
    first: Annotated[str, Query(alias="from", max_length=10)] = "",
    last: Annotated[str, Query(alias="to", max_length=10)] = "",
    by: Short = "service",
    currency: Annotated[str, Query(max_length=10)] = "",
    fresh: bool = False,
) -> Response:
    """Show what was charged, by day and one dimension."""
    asked = _asked(at, first, last, by, currency, dict(request.query_params))
    view = await costs_page(at.services, _summaries(request), org, asked, fresh=fresh)
    drill = {name: value for name, value in {**asked.filters, "currency": view.currency}.items() if value}
    given = {"from": asked.first, "to": asked.last, "by": asked.by, "currency": currency}
    query = urlencode({name: value for name, value in {**given, **asked.filters}.items() if value})
    return await page(
        request,
        "costs.html",
        view=view,
        active="costs",
        link=query,
        drill={"from": asked.first, "to": asked.last, **drill},
        dimensions=DIMENSIONS,
        filter_max=FILTER_MAX,
    )


@router.get("/{org}/costs.csv")
async def file(
    request: Request,
    org: OrgName,
    at: At,
    _: Reader,
    first: Annotated[str, Query(alias="from", max_length=10)] = "",
    last: Annotated[str, Query(alias="to", max_length=10)] = "",
    currency: Annotated[str, Query(max_length=10)] = "",
) -> Response:
    """Return the summary as CSV, exact amounts."""
    asked = _asked(at, first, last, "service", currency, dict(request.query_params))
    await at.services.orgs.get(org)
    found = await _summaries(request).get(at.services, org, (asked.first, asked.last), DIMENSIONS, wait=True)
    chosen = currency or next(iter(currencies_of(found.charges)), "")
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(csv_rows(filtered(found.daily, asked.filters, chosen)))
    name = f'attachment; filename="costs-{asked.first}-{asked.last}.csv"'
    return Response(text.getvalue(), media_type="text/csv", headers={**HEADERS, "content-disposition": name})


@router.get("/{org}/costs/charges")
async def charges(
    request: Request,
    org: OrgName,
    at: At,
    _: Reader,
    first: Annotated[str, Query(alias="from", max_length=10)] = "",
    last: Annotated[str, Query(alias="to", max_length=10)] = "",
    currency: Annotated[str, Query(max_length=10)] = "",
    without: Annotated[Literal["", "provider", "service", "model", "team", "tags"], Query()] = "",
    after: Annotated[str, Query(max_length=2_000)] = "",
    skip: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    """Show single charges, fifty a page, and what all that match add up to."""
    asked = _asked(at, first, last, "service", currency, dict(request.query_params))
    await at.services.orgs.get(org)
    given = {name: text for name, text in {**asked.filters, "currency": currency}.items() if text}
    values = days(asked.first, asked.last) | {name: Parameter("STRING", text) for name, text in given.items()}
    place = {"skip": Parameter("INT64", skip)} | ({"after": Parameter("STRING", after)} if after else {})
    rows: list[Row] = []
    totals: list[Row] = []
    if FOCUS in await tables_of(at.services, org):
        sql = charges_sql(given, without, goes_on=after != "")
        rows = await ask(at.services, org, sql, values | place, rows_max=CHARGES_PER_PAGE)
        totals = await ask(at.services, org, charged_sql(given, without), values)
    return await page(
        request,
        "charges.html",
        rows=rows,
        totals=totals,
        asked=asked,
        without=without,
        older=_older(dict(request.query_params), rows, after, skip),
        active="costs",
    )


def _older(query: dict[str, str], rows: Sequence[Row], after: str, skip: int) -> str | None:
    """Return the link to the next page, None after the last one."""
    if len(rows) < CHARGES_PER_PAGE:
        return None
    last = rows[-1]["charge_id"] or ""
    shown = sum((row["charge_id"] or "") == last for row in rows) + (skip if last == after else 0)
    return "?" + urlencode({**query, "after": last, "skip": shown})


@router.get("/{org}/costs/raw")
async def raw(
    request: Request, org: OrgName, at: At, _: Reader, table: Short, rows: Annotated[str, Query(max_length=20_000)]
) -> Response:
    """Show the raw rows that a charge was made from, as the provider sent them."""
    await at.services.orgs.get(org)
    found = await raw_rows(at.services, org, table, rows.split())
    return await page(request, "raw_rows.html", rows=found, table=table, active="costs")


def _asked(at: Runtime, first: str, last: str, by: str, currency: str, query: dict[str, str]) -> Asked:
    """Return what the address asks for. Raises `InvalidInput`."""
    yesterday = at.services.clock.now().date() - timedelta(days=1)
    end = _day(last) or yesterday
    start = _day(first) or end - timedelta(days=_DAYS - 1)
    if not 0 <= (end - start).days < DAYS_MAX:
        raise InvalidInput(f"the range must have 1 to {DAYS_MAX} days, and the first must not be after the last")
    dimension: Dimension | None = next((each for each in DIMENSIONS if each == by), None)
    if dimension is None:
        raise InvalidInput(f"costs can be grouped by {', '.join(DIMENSIONS)}")
    filters: dict[str, str] = {name: query.get(name, "")[:FILTER_MAX] for name in DIMENSIONS}
    return Asked(first=start, last=end, by=dimension, filters=filters, currency=currency)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise InvalidInput(f"a day must be written as 2026-11-28, not {text!r}") from error


def _summaries(request: Request) -> Summaries:
    """Return the summaries of this process; the first page that needs them makes them."""
    state = request.app.state
    if not hasattr(state, "summaries"):
        state.summaries = Summaries()
    found: Summaries = state.summaries
    return found
