"""What an org has used of its limits, and how its runs of today ended."""

from __future__ import annotations

from typing_extensions import TypedDict  # pydantic reads them on Python 3.11 only from there

from convergence.domain.status import RunStatus
from convergence.domain.times import to_text
from convergence.engine.services import Services
from convergence.engine.store import read_usage, usage_path
from convergence.ports.documents import Where
from convergence.tenants.orgs import Org


class Used(TypedDict):
    """How much of a limit is used."""

    used: int
    limit: int


class QuotaView(TypedDict):
    """Limits of an org; `today` counts the runs that were created since 00:00 UTC."""

    org: str
    plan: str
    limits: dict[str, Used]
    today: dict[str, int]


async def used(services: Services, org: Org) -> dict[str, Used]:
    """Return daily, monthly and concurrent use."""
    usage, _ = await read_usage(services, usage_path(org.slug))
    now = services.clock.now()
    return {
        "daily": {"used": usage.day_count if usage.day == now.strftime("%Y-%m-%d") else 0, "limit": org.limits.daily},
        "monthly": {
            "used": usage.month_count if usage.month == now.strftime("%Y-%m") else 0,
            "limit": org.limits.monthly,
        },
        "concurrent": {
            "used": sum(until > now for until in usage.active.values()),
            "limit": org.limits.concurrent,
        },
    }


async def quota_view(services: Services, org: Org) -> QuotaView:
    """Return limits, use, and today's outcomes. The outcomes are counted from the runs: they cannot drift."""
    midnight = services.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    today = [Where("org", "==", org.slug), Where("created_at", ">=", to_text(midnight))]

    async def ended(status: RunStatus) -> int:
        return await services.documents.count("runs", where=[*today, Where("status", "==", status.value)])

    return {
        "org": org.slug,
        "plan": org.plan,
        "limits": await used(services, org),
        "today": {
            "succeeded": await ended(RunStatus.COMPLETED),
            "failed": await ended(RunStatus.FAILED),
            "cancelled": await ended(RunStatus.CANCELLED),
        },
    }
