"""Requests to Cost Explorer: `GetCostAndUsage` by day, page by page.

Source: AWS Cost Management API reference, GetCostAndUsage (service model ce 2017-10-25). Every request is charged.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from convergence.domain.money import EXACT
from convergence.errors import StepFailed
from convergence.ports.aws_accounts import AwsApi
from convergence.processors.cloud.aws.explorer.amounts import Amount, amount_of

SERVICE: Final = "Cost Explorer"
PAGES_MAX: Final = 2_000  # of one query; each is charged at about 0.01 dollars
COST, EFFECTIVE, QUANTITY = "UnblendedCost", "AmortizedCost", "UsageQuantity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The figures of one group on one day. `estimated`: AWS may still change them."""

    day: date
    end: date
    keys: tuple[str, ...]
    amounts: Mapping[str, Amount]
    estimated: bool


async def groups(
    api: AwsApi,
    first: date,
    end: date,
    *,
    by: Sequence[str],
    metrics: Sequence[str],
    only: tuple[str, str] | None = None,
) -> AsyncIterator[list[Group]]:
    """Yield the groups of each page, for the days from `first` to before `end`.

    `by`: dimensions, at most two. `only`: a dimension and its value. Raises `StepFailed` for an answer without the
    documented form, or pages that do not end.
    """
    request: dict[str, Any] = {
        "TimePeriod": {"Start": first.isoformat(), "End": end.isoformat()},
        "Granularity": "DAILY",
        "Metrics": list(metrics),
        "GroupBy": [{"Type": "DIMENSION", "Key": name} for name in by],
    }
    if only is not None:
        request["Filter"] = {"Dimensions": {"Key": only[0], "Values": [only[1]]}}
    seen: set[str] = set()
    for _ in range(PAGES_MAX):
        answer = await api.call("get_cost_and_usage", request)
        yield [group for result in _results(answer) for group in _groups(result, first, end, len(by), metrics)]
        token = answer.get("NextPageToken")
        if not token:
            return
        if token in seen:
            raise StepFailed(f"{SERVICE} repeats its pages: a page names an earlier one; nothing was loaded")
        seen.add(token)
        request["NextPageToken"] = token
    raise StepFailed(f"{SERVICE} has more than {PAGES_MAX:,} pages for {first} to {end}; nothing was loaded")


@dataclass(slots=True)
class Whole:
    """What a kind of charges costs in all: the sum of so many figures, each rounded on its own, of these accounts."""

    cost: Decimal = Decimal(0)
    figures: int = 0
    accounts: set[str] = field(default_factory=set)


async def record_types(api: AwsApi, first: date, end: date) -> dict[str, Whole]:
    """Return the kinds of charges under AWS's names, with the total cost of each and the accounts that have them."""
    found: dict[str, Whole] = {}
    async for page in groups(api, first, end, by=("RECORD_TYPE", "LINKED_ACCOUNT"), metrics=(COST,)):
        for group in page:
            kind, account = group.keys
            whole = found.setdefault(kind, Whole())
            whole.cost = EXACT.add(whole.cost, group.amounts[COST].number)
            whole.figures += 1
            whole.accounts.add(account)
    return found


def _results(answer: Mapping[str, Any]) -> Sequence[Any]:
    results = answer.get("ResultsByTime")
    if not isinstance(results, list):
        raise StepFailed(f"{SERVICE} answers without ResultsByTime; nothing was loaded")
    return results


def _groups(result: Any, first: date, end: date, names: int, metrics: Sequence[str]) -> list[Group]:
    try:
        period = result["TimePeriod"]
        day, day_end = date.fromisoformat(period["Start"]), date.fromisoformat(period["End"])
        found, estimated = result.get("Groups") or [], bool(result.get("Estimated", False))
        if not first <= day < day_end <= end or (day_end - day).days != 1:
            raise StepFailed(f"{SERVICE} answers for {day} to {day_end}, which is not one of the requested days")
        return [
            Group(
                day=day,
                end=day_end,
                keys=_keys(group["Keys"], names),
                amounts={name: amount_of(group["Metrics"][name], name) for name in metrics},
                estimated=estimated,
            )
            for group in found
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise StepFailed(
            f"{SERVICE} answers in a form that is not documented ({error!r}); nothing was loaded"
        ) from None


def _keys(found: Any, names: int) -> tuple[str, ...]:
    keys = tuple(found)
    if len(keys) != names or not all(isinstance(key, str) for key in keys):
        raise TypeError(f"{len(keys)} keys for {names} dimensions")
    return keys
