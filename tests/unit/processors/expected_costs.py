"""What the shipped pipelines have to find on the sandbox, computed from its raw figures."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from convergence.sandbox import anthropic, azure, google
from tests.e2e.recompute import total_cost

FIRST, LAST = date(2026, 11, 10), date(2026, 11, 13)
DATES = [FIRST + timedelta(days=number) for number in range(4)]


def expected(provider: str) -> Decimal:
    """The provider's cost from raw figures, sharing no line of code with the pipelines."""
    if provider == "openai":
        return total_cost(FIRST, LAST)
    if provider == "azure_openai":
        return sum((cost for day in DATES for _, cost in azure.charges(day).values()), Decimal(0))
    if provider in {"gemini", "vertex"}:
        service = {"gemini": "Gemini API", "vertex": "Vertex AI"}[provider]
        rows = google.export(FIRST, LAST, [service])
        return sum((Decimal(str(row["cost"])) + Decimal(str(row["credits"])) for row in rows), Decimal(0))
    start = int(datetime(2026, 11, 10, tzinfo=UTC).timestamp())
    prices: dict[str, tuple[int | str, ...]] = {  # USD per million tokens, Anthropic's published list; batch is half
        "claude-haiku-4-5": (1, "0.1", "1.25", 2, 5),
        "claude-sonnet-4-5": (3, "0.3", "3.75", 6, 15),
        "claude-opus-4-8": (5, "0.5", "6.25", 10, 25),
    }
    total = Decimal(0)
    for row in anthropic.messages(start, start + 4 * anthropic.DAY):
        share = Decimal("0.5") if row["service_tier"] == "batch" else Decimal(1)
        for name, price in zip(anthropic.PRICED, prices[row["model"]], strict=True):
            total += row[name] * Decimal(price) * share / 1_000_000
        total += row["web_search_requests"] * Decimal("0.01")
    return total
