"""OpenRouter's activity: one row for each UTC day, model and endpoint, and with `by_workspace` for each workspace.

Source: openrouter.ai/docs, API reference, "Get user activity grouped by endpoint" (GET /activity). It has the last 30
completed UTC days. `usage` is what was charged to the account, in dollars; `byok_usage_inference` is what the account's
own keys were charged by other providers, so it is never added to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from pydantic import Field

from convergence.errors import StepFailed
from convergence.ports.http.answers import objects
from convergence.ports.processor import Context
from convergence.processors.base import days
from convergence.processors.genai.billed import billed_amount
from convergence.processors.http.client import RestClient
from convergence.processors.settings import CredentialSettings

BASE_URL: Final = "https://openrouter.ai/api/v1"
PATH: Final = "/activity"
KEPT_DAYS: Final = 30
DAYS_MAX: Final = 3_660
RENEW: Final = (
    "Create a management key (openrouter.ai, Settings, Management keys; a key for calls of models is refused), store it"
    " with the pipeline openrouter/auth/setup, then replay."
)
COUNTS: Final = ("requests", "prompt_tokens", "completion_tokens", "reasoning_tokens")


class ActivitySettings(CredentialSettings):
    """`by_workspace`: each row is of one workspace. `billing_account_id`: the account; the API does not name it.

    `kept_days`: how far back it reports; more than 30 are for a stand-in.
    """

    api_base_url: str = BASE_URL
    by_workspace: bool = False
    billing_account_id: str = ""
    kept_days: int = Field(default=KEPT_DAYS, ge=1, le=DAYS_MAX)
    secret: str = "openrouter"  # noqa: S105 - the name of a secret


class Activity(NamedTuple):
    """What an endpoint of a model was used for on one day. `counts` are those of `COUNTS`."""

    day: date
    model: str
    permaslug: str
    endpoint: str
    provider: str
    workspace: str | None
    usage: Decimal
    byok: Decimal
    counts: Mapping[str, int]


async def activity(
    client: RestClient, options: ActivitySettings, context: Context
) -> AsyncIterator[tuple[date, list[Activity]]]:
    """Yield each day of the run with its rows.

    Raises `StepFailed` for a day that is not over or no longer kept, and for an answer without the
    documented form: a row of another day, a row twice, a count that is not one.
    """
    today = context.now().date()
    if context.end_date >= today:
        raise StepFailed(f"OpenRouter reports days that are over (UTC): {context.end_date} is not, run it when it is")
    if context.start_date < today - timedelta(days=options.kept_days):
        raise StepFailed(
            f"OpenRouter keeps {options.kept_days} days of activity; it no longer has {context.start_date}"
        )
    more = (("group_by", "workspace"),) if options.by_workspace else ()
    for day in days(context.start_date, context.end_date):
        answer = await client.get(PATH, (("date", day.isoformat()), *more), exact=True)
        yield day, _rows(answer, day, by_workspace=options.by_workspace)


async def connect(context: Context, options: ActivitySettings) -> RestClient:
    """Return a client that sends the run's management key."""
    headers = {"authorization": f"Bearer {(await context.secrets.open(options.secret)).strip()}"}
    return RestClient(context, options.api_base_url, headers=headers, service="OpenRouter", renew=RENEW)


def _rows(answer: Any, day: date, *, by_workspace: bool) -> list[Activity]:
    try:
        found = [_row(one, day, by_workspace=by_workspace) for one in objects(answer["data"])]
    except (KeyError, TypeError, ValueError) as error:
        raise StepFailed(
            f"OpenRouter GET {PATH}: a row of {day} does not have the documented form ({error!r})"
        ) from error
    seen = set[tuple[str | None, ...]]()
    for row in found:
        key = (row.model, row.permaslug, row.endpoint, row.provider, row.workspace)
        if key in seen:
            raise StepFailed(f"OpenRouter GET {PATH}: {row.model} by {row.provider} appears twice on {day}")
        seen.add(key)
    return found


def _row(one: Mapping[str, Any], day: date, *, by_workspace: bool) -> Activity:
    where = f"OpenRouter: {str(one['model'])[:80]} on {day}"
    if datetime.fromisoformat(str(one["date"])).date() != day:
        raise StepFailed(f"OpenRouter GET {PATH}: {day} was requested, but a row has the date {str(one['date'])[:20]}")
    usage, byok = (billed_amount(one[name], where) for name in ("usage", "byok_usage_inference"))
    if usage < 0 or byok < 0:
        raise StepFailed(f"{where}: {min(usage, byok)} dollars, which is impossible; nothing was loaded")
    texts = [one["model"], one["model_permaslug"], one["endpoint_id"], one["provider_name"]]
    workspace = one["workspace_id"] if by_workspace else None
    if not all(isinstance(text, str) for text in [*texts, workspace or ""]) or not texts[0]:
        raise TypeError("a name is not a text")
    counts = {name: _count(one[name], f"{where}: {name}") for name in COUNTS}
    return Activity(day, texts[0], texts[1], texts[2], texts[3], workspace, usage, byok, counts)


def _count(value: Any, where: str) -> int:
    number = billed_amount(value, where)
    if number < 0 or number != number.to_integral_value():
        raise StepFailed(f"{where} is {value!r}, which is not a count; nothing was loaded")
    return int(number)
