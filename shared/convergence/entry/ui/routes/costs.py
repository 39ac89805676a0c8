"""The pages of costs: the summary, the charges behind it, the raw rows behind a charge, and a file."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from convergence.engine.daily_costs import FOCUS
from convergence.entry.api.auth import OrgName, Reader
from convergence.entry.api.runtime import At, Runtime
from convergence.entry.ui.pages import HEADERS, PageRoute, page
from convergence.entry.ui.views.cost_queries import CHARGES, CHARGES_PER_PAGE, ask, days, raw_rows, tables_of
from convergence.entry.ui.views.costs import (
    DAYS_MAX,
    DIMENSIONS,
    FILTER_MAX,
    Asked,
    costs_page,
    csv_rows,
    filtered,
)
from convergence.entry.ui.views.summaries import Summaries
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
    given = {"from": asked.first, "to": asked.last, "by": asked.by, "currency": currency}
    query = urlencode({name: value for name, value in {**given, **asked.filters}.items() if value})
    return page(
        request, "costs.html", view=view, active="costs", link=query, dimensions=DIMENSIONS, filter_max=FILTER_MAX
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
    view = await costs_page(at.services, _summaries(request), org, asked, wait=True)
    rows = (await _summaries(request).get(at.services, org, asked.first, asked.last, wait=True)).charges
    chosen = currency or view.currencies[0]
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(csv_rows(filtered(rows, asked.filters, chosen)))
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
    after: Short = "",
) -> Response:
    """Show single charges, fifty a page."""
    asked = _asked(at, first, last, "service", "", dict(request.query_params))
    await at.services.orgs.get(org)
    values = {name: Parameter("STRING", asked.filters[name]) for name in DIMENSIONS} | {
        "after": Parameter("STRING", after)
    }
    known = FOCUS in await tables_of(at.services, org)
    wanted = {**days(asked.first, asked.last), **values}
    rows = await ask(at.services, org, CHARGES, wanted, rows_max=CHARGES_PER_PAGE) if known else []
    given = {name: value for name, value in request.query_params.items() if name != "after"}
    full = len(rows) == CHARGES_PER_PAGE and rows[-1]["charge_id"]
    older = "?" + urlencode({**given, "after": rows[-1]["charge_id"]}) if full else None
    return page(request, "charges.html", rows=rows, asked=asked, older=older, active="costs")


@router.get("/{org}/costs/raw")
async def raw(
    request: Request, org: OrgName, at: At, _: Reader, table: Short, rows: Annotated[str, Query(max_length=20_000)]
) -> Response:
    """Show the raw rows that a charge was made from, as the provider sent them."""
    await at.services.orgs.get(org)
    found = await raw_rows(at.services, org, table, rows.split())
    return page(request, "raw_rows.html", rows=found, table=table, active="costs")


def _asked(at: Runtime, first: str, last: str, by: str, currency: str, query: dict[str, str]) -> Asked:
    """Return what the address asks for. Raises `InvalidInput`."""
    yesterday = at.services.clock.now().date() - timedelta(days=1)
    end = _day(last) or yesterday
    start = _day(first) or end - timedelta(days=_DAYS - 1)
    if not 0 <= (end - start).days < DAYS_MAX:
        raise InvalidInput(f"the range has from 1 to {DAYS_MAX} days, the first not after the last")
    if by not in DIMENSIONS:
        raise InvalidInput(f"costs are grouped by {', '.join(DIMENSIONS)}")
    filters = {name: query.get(name, "")[:FILTER_MAX] for name in DIMENSIONS}
    return Asked(first=start, last=end, by=by, filters=filters, currency=currency)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise InvalidInput(f"a day is written as 2026-11-28, not {text!r}") from error


def _summaries(request: Request) -> Summaries:
    """Return the summaries of this process; the first page that needs them makes them."""
    state = request.app.state
    if not hasattr(state, "summaries"):
        state.summaries = Summaries()
    found: Summaries = state.summaries
    return found
