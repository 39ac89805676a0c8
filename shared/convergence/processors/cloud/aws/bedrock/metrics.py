"""Daily sums of Bedrock's metrics, by model.

Sources: CloudWatch API reference, ListMetrics and GetMetricData; Bedrock user guide, "Amazon Bedrock runtime metrics".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, NamedTuple

from convergence.errors import StepFailed
from convergence.ports.aws_accounts import AwsApi

NAMESPACE: Final = "AWS/Bedrock"
METRICS: Final = {  # metric → (what it counts, unit)
    "InputTokenCount": ("input tokens", "Tokens"),
    "OutputTokenCount": ("output tokens", "Tokens"),
    "CacheReadInputTokenCount": ("cached input tokens", "Tokens"),
    "CacheWriteInputTokenCount": ("cache write tokens", "Tokens"),
    "Invocations": ("requests", "Requests"),
}
LISTED_DAYS: Final = 14  # ListMetrics leaves out metrics without data in the last two weeks
QUERIES_MAX: Final = 500  # of one GetMetricData
PAGES_MAX: Final = 1_000
DAY_S: Final = 86_400


class Sum(NamedTuple):
    """A metric's sum on one day."""

    day: date
    model: str
    metric: str
    quantity: int


async def sums(api: AwsApi, first: date, last: date) -> AsyncIterator[list[Sum]]:
    """Yield the sums of all models and metrics from `first` to `last`, a few hundred series at a time.

    Raises `StepFailed` for an answer that is not complete, or does not have the documented form.
    """
    series = await _series(api)
    for start in range(0, len(series), QUERIES_MAX):
        yield [found async for found in _sums(api, series[start : start + QUERIES_MAX], first, last)]


async def _series(api: AwsApi) -> list[tuple[str, str]]:
    """Return (metric, model) of all series whose one dimension is the model; with others they would count twice."""
    found = set[tuple[str, str]]()
    async for answer in _pages(api, "list_metrics", {"Namespace": NAMESPACE}):
        for metric in _list(answer, "Metrics"):
            dimensions = metric["Dimensions"]
            if metric["MetricName"] in METRICS and [each["Name"] for each in dimensions] == ["ModelId"]:
                found.add((metric["MetricName"], dimensions[0]["Value"]))
    return sorted(found)


async def _sums(api: AwsApi, series: Sequence[tuple[str, str]], first: date, last: date) -> AsyncIterator[Sum]:
    request = {
        "MetricDataQueries": [
            {"Id": f"m{number}", "MetricStat": _statistic(*each)} for number, each in enumerate(series)
        ],
        "StartTime": datetime.combine(first, time(), UTC),
        "EndTime": datetime.combine(last + timedelta(days=1), time(), UTC),
        "ScanBy": "TimestampAscending",
    }
    states: dict[str, str] = {f"m{number}": "missing" for number in range(len(series))}
    seen = set[tuple[str, date]]()
    async for answer in _pages(api, "get_metric_data", request):
        for result in _list(answer, "MetricDataResults"):
            name = result["Id"]
            if name not in states:
                raise StepFailed(f"CloudWatch answers for {name!r}, which was not requested; nothing was loaded")
            metric, model = series[int(name[1:])]
            states[name] = result["StatusCode"]
            for at, value in zip(result["Timestamps"], result["Values"], strict=True):
                found = Sum(_day(at, first, last), model, metric, _count(value, metric, model))
                if (name, found.day) in seen:
                    raise StepFailed(
                        f"CloudWatch: {metric} of {model} appears twice on {found.day}; nothing was loaded"
                    )
                seen.add((name, found.day))
                yield found
    for name, state in states.items():
        if state != "Complete":
            metric, model = series[int(name[1:])]
            raise StepFailed(f"CloudWatch: {metric} of {model} is not complete ({state}); nothing was loaded")


def _statistic(metric: str, model: str) -> dict[str, Any]:
    dimension = {"Name": "ModelId", "Value": model}
    named = {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": [dimension]}
    return {"Metric": named, "Period": DAY_S, "Stat": "Sum"}


async def _pages(api: AwsApi, operation: str, request: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    asked, seen = dict(request), set[str]()
    for _ in range(PAGES_MAX):
        answer = await api.call(operation, asked)
        yield answer
        token = answer.get("NextToken")
        if not token:
            return
        if token in seen:
            break
        seen.add(token)
        asked["NextToken"] = token
    raise StepFailed(f"CloudWatch {operation}: its pages do not end; nothing was loaded")


def _list(answer: Mapping[str, Any], name: str) -> list[Any]:
    found = answer.get(name)
    if not isinstance(found, list):
        raise StepFailed(f"CloudWatch answers without {name}; nothing was loaded")
    return found


def _day(at: datetime, first: date, last: date) -> date:
    start = at.astimezone(UTC)
    if start.time() != time() or not first <= start.date() <= last:
        raise StepFailed(f"CloudWatch answers for {start:%Y-%m-%d %H:%M}, which is not a day that was requested")
    return start.date()


def _count(value: float, metric: str, model: str) -> int:
    if not 0 <= value < 2**53 or value != int(value):  # floats are exact up to this value; NaN fails every comparison
        raise StepFailed(f"CloudWatch: {metric} of {model} is {value!r}, which is not a count; nothing was loaded")
    return int(value)
