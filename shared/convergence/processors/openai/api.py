"""OpenAI's organization API: its address, its paging, and how days are requested."""

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

BASE_URL: Final = "https://api.openai.com/v1"
RENEW: Final = (
    "Create an admin key (organization owners only, scope api.usage.read), store it with the pipeline"
    " openai/auth/setup, then replay."
)


class ApiSettings(CredentialSettings):
    """Keys of every step that calls the API. `page_days` is the number of days in one answer."""

    api_base_url: str = BASE_URL
    page_days: int = 7
    secret: str = "openai"  # noqa: S105 - the name of a secret


ACCOUNT: Final = "openai-organization"  # header of every answer ("Debugging requests", API reference)


async def connect(context: Context, settings: ApiSettings) -> RestClient:
    """Return a client that sends the run's admin key."""
    key = await context.secrets.open(settings.secret)
    return RestClient(
        context, settings.api_base_url, headers={"authorization": f"Bearer {key}"}, service="OpenAI", renew=RENEW
    )


async def daily(
    client: RestClient,
    path: str,
    context: Context,
    *,
    group_by: Sequence[str],
    page_days: int,
    exact: bool = False,
    between: tuple[date, date] | None = None,
) -> AsyncIterator[list[tuple[date, dict[str, Any]]]]:
    """Yield one page after the other as (day, result), for all days of the run, or those `between` (both inclusive).

    Raises `StepFailed` when a day is repeated, was not requested, or is past and missing: a successful run never holds
    more or less than it should.
    """
    first, last = between or (context.start_date, context.end_date)
    params = [
        ("start_time", str(_midnight(first))),
        ("end_time", str(_midnight(last + timedelta(days=1)))),
        ("bucket_width", "1d"),
        ("limit", str(page_days)),
        *(("group_by[]", name) for name in group_by),
    ]
    seen: set[date] = set()
    async for page in client.pages(path, params, paging=cursor_paging(), exact=exact):
        yield [(day, result) for day, results in _buckets(page, path, first, last, seen) for result in results]
    missing = [day for day in days(first, last) if day not in seen and day < context.now().date()]
    if missing:
        raise StepFailed(f"OpenAI GET {path}: the answer has no bucket for {missing[0]} ({len(missing)} such days)")


def _buckets(page: Any, path: str, first: date, last: date, seen: set[date]) -> list[tuple[date, list[dict[str, Any]]]]:
    try:
        found = [(_day(bucket["start_time"]), objects(bucket["results"])) for bucket in page["data"]]
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise StepFailed(f"OpenAI GET {path}: the answer has no data[].start_time and .results ({error!r})") from error
    for day, _ in found:
        if day in seen or not first <= day <= last:
            message = "appears twice" if day in seen else f"is outside {first} to {last}"
            raise StepFailed(f"OpenAI GET {path}: the day {day} {message}")
        seen.add(day)
    return found


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _day(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, UTC).date()
