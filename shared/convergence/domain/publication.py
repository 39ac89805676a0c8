"""Which closed billing periods may be published, and why others are withheld."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal

from convergence.domain.billing_periods import BillingPeriod
from convergence.domain.reconciliation import ALL_PROVIDERS, NOT_COMPARED, OVER, Reconciled, amount_text

Answer = Literal["blocked", "published"]
NOTHING: Final = "there is neither a bill nor an invoice to compare with"


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """Charges of a billing period in one currency."""

    month: date
    issuer: str
    account: str
    currency: str


@dataclass(frozen=True, slots=True)
class Total:
    """How many charges a part has, and their BilledCost."""

    charges: int
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What becomes of a closed period whose difference is over the tolerance, and of one without bill and invoice.

    `late`: whether charges that a run brings for a closed period become corrections of an open one."""

    over: Answer = "blocked"
    not_compared: Answer = "blocked"
    late: Literal["corrected", "refused"] = "corrected"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a part of a closed period is published. `reason`: what is wrong with it, else empty."""

    part: Part
    total: Total
    published: bool
    reason: str

    def to_data(self) -> dict[str, Any]:
        """Return JSON; amounts are text."""
        named = {name: getattr(self.part, name) for name in ("issuer", "account", "currency")}
        counted = {"charges": self.total.charges, "cost": amount_text(self.total.cost)}
        return {
            "month": f"{self.part.month:%Y-%m}",
            **named,
            **counted,
            "published": self.published,
            "reason": self.reason,
        }


def decide(
    periods: Iterable[BillingPeriod], totals: Mapping[Part, Total], reconciled: Iterable[Reconciled], policy: Policy
) -> list[Decision]:
    """Return the decision on each part of a closed period that has charges."""
    closed = {(each.key.month, each.key.issuer, each.key.account) for each in periods if each.status == "Closed"}
    compared: dict[Part, list[Reconciled]] = defaultdict(list)
    for each in reconciled:
        subject = each.subject
        compared[Part(subject.month, subject.issuer, subject.account, subject.currency)].append(each)
    decisions = []
    for part, total in sorted(totals.items(), key=lambda item: item[0]):
        if (part.month, part.issuer, part.account) in closed:
            found = list(_problems(compared[part], policy))
            blocked = any(answer == "blocked" for answer, _ in found)
            decisions.append(Decision(part, total, not blocked, "; ".join(reason for _, reason in found)))
    return decisions


def _problems(found: list[Reconciled], policy: Policy) -> Iterator[tuple[Answer, str]]:
    """Yield what is wrong. Where an invoice covers the charges of several providers, only that comparison counts."""
    whole = [each for each in found if each.subject.provider == ALL_PROVIDERS and each.invoiced is not None]
    for each in whole or found:
        name = each.subject.provider or "all providers"
        if each.state == NOT_COMPARED:
            yield policy.not_compared, f"{name}: {NOTHING}"
        if each.state == OVER:
            yield (
                policy.over,
                f"{name}: the difference of {amount_text(each.difference)} {each.subject.currency} is over the"
                f" tolerance of {amount_text(each.tolerance)}, {amount_text(each.unexplained)} of it unexplained",
            )
        if each.tax_state == OVER:
            yield (
                policy.over,
                f"{name}: tax of {amount_text(each.computed_tax)}, invoiced {amount_text(each.invoiced_tax)}",
            )
    if not found:
        yield policy.not_compared, NOTHING
