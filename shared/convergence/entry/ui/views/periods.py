"""The billing periods of an org: open or closed, and how their charges compare with bills and invoices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from convergence.domain.billing_periods import BillingPeriod, PeriodKey
from convergence.domain.reconciliation import Reconciled
from convergence.domain.times import following_month
from convergence.engine.reconciliation import reconciliation
from convergence.engine.services import Services
from convergence.errors import InvalidInput
from convergence.tenants.billing import BillingStore

DAYS: Final = 92
NOT_RECORDED: Final = "Open, not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodRow:
    """A period with one comparison. `key` is None for a bill that belongs to no account or to several;
    `compared` is None for a recorded period without charge, bill or invoice."""

    month: date
    key: PeriodKey | None
    status: str
    compared: Reconciled | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodPage:
    """One period. `recorded` is None until it is opened or closed for the first time."""

    key: PeriodKey
    recorded: BillingPeriod | None
    compared: Sequence[Reconciled]

    @property
    def closed(self) -> bool:
        """True when its charges no longer change."""
        return self.recorded is not None and self.recorded.status == "Closed"


async def period_rows(services: Services, org: str) -> list[PeriodRow]:
    """Return the periods of the last three months, latest first. Raises `InvalidInput` for too many."""
    today = services.clock.now().date()
    first = (today - timedelta(days=DAYS)).replace(day=1)
    last = following_month(today.replace(day=1)) - timedelta(days=1)
    recorded = {
        each.key: each
        for each in await BillingStore(services.documents).periods(org)
        if first <= each.key.month <= last
    }
    rows = [_row(each, recorded) for each in await reconciliation(services, org, first, last)]
    seen = {row.key for row in rows}
    rows += [
        PeriodRow(month=key.month, key=key, status=each.status, compared=None)
        for key, each in recorded.items()
        if key not in seen
    ]
    return sorted(rows, key=lambda row: -row.month.toordinal())


async def period_page(services: Services, org: str, key: PeriodKey) -> PeriodPage:
    """Return the page of one period. Raises `NotFound` for an org that does not exist."""
    await services.orgs.get(org)
    recorded = next((each for each in await BillingStore(services.documents).periods(org) if each.key == key), None)
    last = following_month(key.month) - timedelta(days=1)
    found = await reconciliation(services, org, key.month, last)
    return PeriodPage(key=key, recorded=recorded, compared=[each for each in found if _key(each) == key])


def _row(compared: Reconciled, recorded: dict[PeriodKey, BillingPeriod]) -> PeriodRow:
    key = _key(compared)
    known = None if key is None else recorded.get(key)
    status = "" if key is None else NOT_RECORDED if known is None else known.status
    return PeriodRow(month=compared.subject.month, key=key, status=status, compared=compared)


def _key(compared: Reconciled) -> PeriodKey | None:
    """Return the period of a comparison; None where a provider's names cannot be one's."""
    subject = compared.subject
    try:
        return PeriodKey(subject.month, subject.issuer, subject.account)
    except InvalidInput:
        return None
