"""Anthropic's Admin API: its address, its paging, and how days are requested."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from convergence.errors import StepFailed
from convergence.ports.http.answers import objects
from convergence.ports.processor import Context
from convergence.processors.base import days
from convergence.processors.http.client import RestClient
from convergence.processors.http.paging import cursor_paging
from convergence.processors.settings import CredentialSettings

BASE_URL: Final = "https://api.anthropic.com/v1"
VERSION: Final = "2023-06-01"
USAGE: Final = "/organizations/usage_report/messages"
COST: Final = "/organizations/cost_report"
CLAUDE_CODE: Final = "/organizations/usage_report/claude_code"
RENEW: Final = (
    "Create an admin key (organization admins only, it begins with sk-ant-admin), store it with the pipeline"
    " anthropic/auth/setup, then replay."
)

ACCOUNT: Final = "anthropic-organization-id"  # header of every answer ("API overview", response headers)

Result = dict[str, Any]


class ApiSettings(CredentialSettings):
    """Keys of every step that calls the API. `page_days` is the number of days in one answer, at most 31."""

    api_base_url: str = BASE_URL
    page_days: int = 7
    secret: str = "anthropic"  # noqa: S105 - the name of a secret


async def connect(context: Context, settings: ApiSettings, *, beta: str = "") -> RestClient:
    """Return a client that sends the run's admin key, and requests a `beta` of the API."""
    headers = {
        "x-api-key": await context.secrets.open(settings.secret),
        "anthropic-version": VERSION,
        "user-agent": "convergence-pipelines",  # the provider asks integrations to send a name
        **({"anthropic-beta": beta} if beta else {}),
    }
    return RestClient(context, settings.api_base_url, headers=headers, service="Anthropic", renew=RENEW)


async def daily(
    client: RestClient, path: str, context: Context, *, group_by: Sequence[str], page_days: int
) -> AsyncIterator[list[tuple[date, Result]]]:
    """Yield one page after another as (day, result), for all days of the run.

    Raises `StepFailed` when a day is repeated, was not requested, or is past and missing.
    """
    first, last = context.start_date, context.end_date
    params = [
        ("starting_at", _midnight(first)),
        ("ending_at", _midnight(last + timedelta(days=1))),
        ("bucket_width", "1d"),
        ("limit", str(page_days)),
        *(("group_by[]", name) for name in group_by),
    ]
    seen: set[date] = set()
    async for page in client.pages(path, params, paging=cursor_paging()):
        try:
            found = [(_day(bucket["starting_at"]), objects(bucket["results"])) for bucket in page["data"]]
        except (KeyError, TypeError, ValueError) as error:
            raise StepFailed(f"Anthropic GET {path}: no data[].starting_at and .results ({error!r})") from error
        for day, _ in found:
            if day in seen or not first <= day <= last:
                message = "appears twice" if day in seen else f"is outside {first} to {last}"
                raise StepFailed(f"Anthropic GET {path}: the day {day} {message}")
            seen.add(day)
        yield [(day, result) for day, results in found for result in results]
    missing = [day for day in days(first, last) if day not in seen and day < context.now().date()]
    if missing:
        raise StepFailed(f"Anthropic GET {path}: the answer has no bucket for {missing[0]} ({len(missing)} such days)")


def _midnight(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"


def _day(text: str) -> date:
    return datetime.fromisoformat(text).astimezone(UTC).date()
