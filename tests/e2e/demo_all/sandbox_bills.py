"""What the sandbox bills for LLM usage, read from it without the product's code."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from convergence.sandbox import anthropic, bill
from tests.unit.processors.expected_costs import FIRST, LAST


def billed_by_the_sandbox(provider: str) -> dict[tuple[str, str], Decimal]:
    """The raw bill by day and model; a line without a model is of the model ""."""
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for number in range((LAST - FIRST).days + 1):
        day = FIRST + timedelta(days=number)
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        if provider == "OpenAI":
            for charge in bill.charges(start, start + 86_400):
                sums[day.isoformat(), charge.line_item.rpartition(", ")[0]] += charge.amount
        else:
            for line, amount in anthropic.charges(start, start + 86_400):
                sums[day.isoformat(), line["model"]] += amount
    return sums
