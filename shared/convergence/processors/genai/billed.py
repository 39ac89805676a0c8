"""A provider's charges are amounts in a currency that exists."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from convergence.errors import StepFailed
from convergence.processors.genai.currency import CURRENCIES


def billed_currency(value: Any, where: str) -> str:
    """Return the ISO 4217 code. Raises `StepFailed` for any other word: amounts of it would be added to others."""
    code = value.upper() if isinstance(value, str) else None
    if code not in CURRENCIES:
        raise StepFailed(f"{where}: the currency is {value!r}, which is not a code of ISO 4217; nothing was loaded")
    return code


def billed_amount(value: Any, where: str) -> Decimal:
    """Return the amount, digit by digit. Raises `StepFailed` for anything but a finite number."""
    try:
        amount = Decimal("NaN" if isinstance(value, bool) else str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise StepFailed(f"{where}: the amount is {value!r}, which is not a number; nothing was loaded")
    return amount
