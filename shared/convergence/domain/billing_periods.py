"""Billing periods of an org: of an invoice issuer, a billing account and a month; Open or Closed.

Charges of a closed period no longer change. It can be reopened for a reason, which is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from hashlib import blake2b
from typing import Any, Final, Literal, Self

from convergence.domain.records import StoredRecord, from_stored
from convergence.domain.times import to_text
from convergence.errors import InvalidInput

TEXT_MAX: Final = 500  # characters of a name, an id or a reason
YEARS: Final = (1970, 2999)
MONTHS_MAX: Final = 120  # that are requested at once
CHANGES_MAX: Final = 100  # of a period that are kept
Status = Literal["Open", "Closed"]


@dataclass(frozen=True, slots=True, order=True)
class PeriodKey:
    """What a period is of. `month` is its first day."""

    month: date
    issuer: str
    account: str

    def __post_init__(self) -> None:
        check_text(self.issuer, "the invoice issuer")
        check_text(self.account, "the billing account")
        if self.month.day != 1:
            raise InvalidInput(f"a billing period must begin on the first day of a month, not on {self.month}")
        if not YEARS[0] <= self.month.year <= YEARS[1]:
            raise InvalidInput(
                f"the month of a billing period must be in the years {YEARS[0]} to {YEARS[1]}, not {self.month}"
            )

    @property
    def id(self) -> str:
        """Return what names it in paths; months sort."""
        return f"{self.month:%Y-%m}-{digest(self.issuer, self.account)}"

    def __str__(self) -> str:
        return f"{self.issuer}, account {self.account}, {self.month:%Y-%m}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A move of a period: to which status, when, by whom, and why."""

    status: Status
    at: datetime
    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingPeriod(StoredRecord):
    """A billing period. `changes`: the latest moves, oldest first."""

    key: PeriodKey
    status: Status
    created_at: datetime
    updated_at: datetime
    changes: tuple[Change, ...] = ()

    @classmethod
    def new(cls, key: PeriodKey, change: Change) -> Self:
        """Return a period that is recorded now."""
        return cls(key=key, status=change.status, created_at=change.at, updated_at=change.at, changes=(change,))

    def moved(self, change: Change) -> Self:
        """Return it with another status; the same period when it has that status already.

        Raises:
            InvalidInput: it is closed, and no reason for reopening it is given.
        """
        if change.status == self.status:
            return self
        if self.status == "Closed" and not change.reason.strip():
            raise InvalidInput(f"the billing period {self.key} is closed: give the reason for opening it again")
        changes = (*self.changes, change)[-CHANGES_MAX:]
        return replace(self, status=change.status, updated_at=change.at, changes=changes)

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        return {
            **self.unknown,
            "month": self.key.month.isoformat(),
            "issuer": self.key.issuer,
            "account": self.key.account,
            "status": self.status,
            "created_at": to_text(self.created_at),
            "updated_at": to_text(self.updated_at),
            "changes": [
                {"status": each.status, "at": to_text(each.at), "actor": each.actor, "reason": each.reason}
                for each in self.changes
            ],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        return from_stored(cls, {**data, "key": data})


def month_of(text: str) -> date:
    """Return the first day of a month such as 2026-11. Raises `InvalidInput`."""
    try:
        month = date.fromisoformat(f"{text}-01")
    except ValueError:
        raise InvalidInput(f"{text[:50]!r} is not a month such as 2026-11") from None
    if not YEARS[0] <= month.year <= YEARS[1]:
        raise InvalidInput(f"{text[:50]!r}: months must be in the years {YEARS[0]} to {YEARS[1]}")
    return month


def months(first: date, last: date) -> list[date]:
    """Return the first days of the months from `first` to `last`. Raises `InvalidInput` for none or too many."""
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    if not 1 <= count <= MONTHS_MAX:
        raise InvalidInput(
            f"1 to {MONTHS_MAX} months are allowed at once, not those from {first:%Y-%m} to {last:%Y-%m}"
        )
    start = first.year * 12 + first.month - 1
    return [date(number // 12, number % 12 + 1, 1) for number in range(start, start + count)]


def check_text(text: str, what: str) -> None:
    """Raise `InvalidInput` for a text that is empty, padded, too long or has control characters."""
    if not text or text != text.strip() or len(text) > TEXT_MAX or not text.isprintable():
        raise InvalidInput(f"{what} must have 1 to {TEXT_MAX} printable characters, not {text[:50]!r}")


def digest(*parts: str) -> str:
    """Return what names something in a path, whatever characters its own names have."""
    return blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()
