"""Terms of a commitment that FOCUS 1.4 asks for beside those of 1.3: stated by the contract, or following from it."""

from __future__ import annotations

import calendar
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Final

import orjson

from convergence.processors.subscription.terms import ONE_DAY

_PREFIX: Final = "ContractCommitment"
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "BenefitCategory": ("Discount", "Entitlement", "Availability", "Other"),
    "FulfillmentInterval": (
        *("Hourly", "Daily", "Weekly", "Monthly", "Quarterly", "Semi-Annual", "Annual"),
        *("Full Period", "Transactional", "Custom"),
    ),
    "LifecycleStatus": ("Proposed", "Pending", "Active", "Exhausted", "Expired", "Canceled", "Superseded"),
    "Model": ("Continuous", "Discontinuous"),
    "OfferCategory": ("Negotiated", "Public"),
    "PaymentInterval": ("One-Time", "Monthly", "Quarterly", "Semi-Annual", "Annual", "Custom"),
    "PaymentModel": ("No Upfront", "Partial Upfront", "All Upfront"),
}
_INTERVALS: Final = {"hourly": "Custom", "monthly": "Monthly", "annual": "Annual", "upfront": "One-Time"}
# What a yearly payment is depends on the contract's length, so the contract defines it.
_MODELS: Final = {"hourly": "No Upfront", "monthly": "No Upfront", "upfront": "All Upfront"}


def _is_object(text: str) -> bool:
    return isinstance(orjson.loads(text), dict)


def _is_moment(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None


def _is_share(text: str) -> bool:
    return 0 <= Decimal(text) <= 1


_FORMS: Final[Mapping[str, tuple[Callable[[str], bool], str]]] = {
    "ContractCommitmentApplicability": (_is_object, "a JSON object"),
    "ContractCommitmentCreated": (_is_moment, "a time with its zone, as 2026-11-01T00:00:00Z"),
    "ContractCommitmentLastUpdated": (_is_moment, "a time with its zone, as 2026-11-01T00:00:00Z"),
    "ContractCommitmentDiscountPercentage": (_is_share, "a number from 0 to 1"),
    "ContractCommitmentDurationType": (bool, "a string, such as 1 Year"),
    "InvoiceIssuerName": (bool, "a text"),
    "ServiceProviderName": (bool, "a text"),
    **{
        f"{_PREFIX}{name}": (frozenset(words).__contains__, f"one of {', '.join(words)}")
        for name, words in _CHOICES.items()
    },
}


def checked_terms(text: str) -> str:
    """Return the JSON object of texts as it is stored. Raises `ValueError` that names the column and what it takes."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError("is not JSON") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("is not a JSON object of strings")
    for name, value in found.items():
        if name not in _FORMS:
            raise ValueError(f"{name} is not one of its columns: {', '.join(sorted(_FORMS))}")
        fits, words = _FORMS[name]
        try:
            good = fits(value)
        except (ValueError, ArithmeticError):
            good = False
        if not good:
            raise ValueError(f"{name} is not {words}")
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode()


def known_terms(billing_cycle: str, first: date, last: date, stated: str | None) -> str:
    """Return the terms as JSON: those that the contract states, before those that follow from cycle and days."""
    follow = {
        "ContractCommitmentDurationType": _duration(first, last + ONE_DAY),
        "ContractCommitmentPaymentInterval": _INTERVALS[billing_cycle],
        "ContractCommitmentPaymentModel": _MODELS.get(billing_cycle, ""),
    }
    known = {name: value for name, value in follow.items() if value} | orjson.loads(stated or "{}")
    return orjson.dumps(known, option=orjson.OPT_SORT_KEYS).decode()


def _duration(first: date, behind: date) -> str:
    """Return the months or years of a term that has whole ones; "" for another."""
    months = (behind.year - first.year) * 12 + behind.month - first.month
    ending = min(first.day, calendar.monthrange(behind.year, behind.month)[1])
    if months < 1 or behind.day != ending:
        return ""
    count, word = (months // 12, "Year") if months % 12 == 0 else (months, "Month")
    return f"{count} {word}{'s' if count > 1 else ''}"
