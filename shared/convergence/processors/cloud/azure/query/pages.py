"""Requests to Cost Management: costs by day and at most two dimensions, page by page.

Source: Cost Management REST API, Query - Usage, 2023-11-01. Further pages are the same body, sent to nextLink.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import date, timedelta
from typing import Any, Final

import httpx

from convergence.errors import StepFailed
from convergence.processors.http.client import RestClient
from convergence.processors.http.paging import Answer, Call

API_VERSION: Final = "2023-11-01"
SERVICE: Final = "Azure Cost Management"


async def pages(
    client: RestClient,
    scope: str,
    first: date,
    end: date,
    *,
    cost_type: str,
    by: Sequence[str],
    only: tuple[str, str] | None = None,
) -> AsyncIterator[list[dict[str, Any]]]:
    """Yield rows by column, for the days from `first` to before `end`; numbers are as exact as they are sent.

    `by`: dimensions, at most two. `only`: a dimension and its value. Raises `StepFailed` for an answer without the
    documented form, or without a column.
    """
    dataset: dict[str, Any] = {
        "granularity": "Daily",
        "aggregation": {"totalCost": {"name": "Cost", "function": "Sum"}},
        "grouping": [{"type": "Dimension", "name": name} for name in by],
    }
    if only is not None:
        dataset["filter"] = {"dimensions": {"name": only[0], "operator": "In", "values": [only[1]]}}
    last = end - timedelta(days=1)
    period = {"from": f"{first}T00:00:00Z", "to": f"{last}T23:59:59Z"}  # both days are included
    body = {"type": cost_type, "timeframe": "Custom", "timePeriod": period, "dataset": dataset}
    path = f"{scope}/providers/Microsoft.CostManagement/query"
    walk = client.walk(Call(path, (("api-version", API_VERSION),), "POST", body), following, exact=True)
    async with aclosing(walk):
        async for answer, _ in walk:
            yield rows_of(answer.data, {"Cost", "UsageDate", "Currency", *by})


def following(answer: Answer, call: Call) -> Call | None:
    """Return the call for the next page; None after the last one."""
    link = (answer.data.get("properties") or {}).get("nextLink") if isinstance(answer.data, dict) else None
    if not link:
        return None
    url = httpx.URL(str(link))
    return Call(str(url.copy_with(query=None)), tuple(url.params.multi_items()), call.method, call.body)


def rows_of(answer: Any, columns: set[str]) -> list[dict[str, Any]]:
    """Return an answer's rows by column. Raises `StepFailed` where one of `columns` is missing."""
    try:
        names = [column["name"] for column in answer["properties"]["columns"]]
        if missing := sorted(columns - set(names)):
            raise StepFailed(f"{SERVICE}: the answer has no column {missing[0]!r}")
        return [dict(zip(names, row, strict=True)) for row in answer["properties"]["rows"]]
    except (KeyError, TypeError, ValueError) as error:
        raise StepFailed(f"{SERVICE}: the answer has an unexpected shape ({error!r})") from error
