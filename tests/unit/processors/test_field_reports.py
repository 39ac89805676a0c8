"""Wrong figures that were reported of other tools, as input and right figure.

Each entry names its report: repository and number.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from convergence.processors.anthropic import billing
from convergence.processors.anthropic.charges import cost_rows as anthropic_rows
from convergence.processors.anthropic.charges import line as anthropic_line
from convergence.processors.anthropic.usage import usage_row as anthropic_usage
from convergence.processors.genai.differences import Pair, classify
from convergence.processors.genai.prices.lookup import PriceBook
from convergence.processors.openai import billing as openai_billing
from convergence.processors.openai.charges import cost_rows as openai_rows
from tests.unit.processors.price_book import BOOK, listed
from tests.unit.processors.usage_rows import used

DAY = date(2026, 11, 10)
ANTHROPIC = PriceBook(listed("anthropic"))


def messages(model: str | None, **counts: Any) -> list[dict[str, Any]]:
    """The charges of a result of Anthropic's messages report; its counts are disjoint."""
    writes = {name: counts.pop(name, 0) for name in ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")}
    result = {
        "uncached_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 0,
        "cache_creation": writes,
        "server_tool_use": {"web_search_requests": 0},
        "model": model,
        **dict.fromkeys(("api_key_id", "workspace_id", "service_tier", "context_window", "inference_geo", "speed")),
        **counts,
    }
    return list(anthropic_rows(anthropic_usage(DAY, result), ANTHROPIC))


def completions(model: str | None, **fields: Any) -> list[dict[str, Any]]:
    """The charges of a result of OpenAI's completions; input is a total."""
    return list(openai_rows(used(model=model, num_model_requests=100, **fields), BOOK))


def tokens(rows: list[dict[str, Any]]) -> int:
    return sum(row["consumed_quantity"] for row in rows)


def dollars(rows: list[dict[str, Any]]) -> Decimal | str:
    """The sum, or the reasons of what has no price."""
    missing = {row["price_basis"] for row in rows if "cost" not in row}
    return " ".join(sorted(missing)) if missing else sum((row["cost"] for row in rows), Decimal(0))


def billed(amount: str) -> Decimal:
    row = billing.bill_row(DAY, {"amount": amount, "currency": "USD", "model": "m", "token_type": "output_tokens"})
    assert anthropic_line(row["line_item"])[:2] == ("m", "output")
    amount_usd: Decimal = row["amount"]
    return amount_usd


AUDIO = {"output_tokens": 1_000_000, "output_audio_tokens": 1_000_000}
TOTAL = {"input_tokens": 130_213, "input_cached_tokens": 130_000, "output_tokens": 0}


@pytest.mark.parametrize(
    ("report", "found", "right"),
    [
        ("langwatch 6977: Anthropic's amount is in cents", billed("41280.000000"), Decimal("412.80")),
        (
            "langwatch 6977: cache tokens were read as zero",
            tokens(messages("claude-opus-4-5", cache_read_input_tokens=5, ephemeral_5m_input_tokens=7)),
            12,
        ),
        (
            "langwatch 6977: tiers were merged",
            [
                dollars(messages("claude-opus-4-5", uncached_input_tokens=1_000_000, service_tier=tier))
                for tier in ("standard", "batch")
            ],
            [Decimal(5), Decimal("2.5")],
        ),
        (
            "langwatch 7579: OpenAI's amount is in dollars",
            openai_billing.bill_row(DAY, {"amount": {"value": Decimal("0.06"), "currency": "usd"}})["amount"],
            Decimal("0.06"),
        ),
        (
            "accrue 108: 95,537 written tokens were lost, 1,540 shown",
            tokens(
                messages(
                    "claude-opus-4-5", uncached_input_tokens=120, output_tokens=1420, ephemeral_5m_input_tokens=95_537
                )
            ),
            97_077,
        ),
        (
            "bifrost 3451: 1.85985 shown",
            dollars(
                messages(
                    "claude-opus-4-5", uncached_input_tokens=6, output_tokens=2745, ephemeral_5m_input_tokens=159_217
                )
            ),
            Decimal("1.06376125"),
        ),
        (
            "pi 5603: writes for an hour cost 2 x input, not 1.25 x",
            [
                dollars(messages("claude-opus-4-5", **{f"ephemeral_{kept}_input_tokens": 1_000_000}))
                for kept in ("5m", "1h")
            ],
            [Decimal("6.25"), Decimal(10)],
        ),
        ("langfuse 12306, 10592: 260,421 shown", tokens(completions("gpt-4o", **TOTAL)), 130_213),
        (
            "litellm 37046: a snapshot took the priority price of another",
            [
                dollars(completions(model, input_tokens=1_000_000, service_tier="priority"))
                for model in ("gpt-4o-2024-05-13", "gpt-4o-2024-11-20", "gpt-4-0613", "gpt-4o-2099-01-01")
            ],
            [Decimal("8.75"), Decimal("4.25"), "no_price", "unknown_model"],
        ),
        (
            "litellm 13810: flex was charged as standard, twice its price",
            dollars(completions("gpt-5-mini", input_tokens=1_000_000, service_tier="flex")),
            Decimal("0.125"),
        ),
        (
            "litellm 37219: a batch without a model cost nothing",
            dollars(completions(None, input_tokens=1_000_000, batch=True)),
            "no_price",
        ),
        (
            "litellm 37219: what is free was charged",
            dollars(list(openai_rows(used("moderations", model="omni-moderation-latest", input_tokens=9), BOOK))),
            Decimal(0),
        ),
        (
            "litellm 32111: speech was charged as text",
            [dollars(completions(model, **AUDIO)) for model in ("gpt-4o-mini-tts", "gpt-audio", "gpt-4o")],
            [Decimal(12), Decimal(64), "no_price"],
        ),
        (
            "claude-quickstarts 431: a blocked request has tokens and is not billed",
            classify(Pair(Decimal("0.5"), Decimal(10)), Decimal("0.000001"))[0],
            "not_billed",
        ),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else "",
)
def test_a_figure_that_another_tool_got_wrong(report: str, found: object, right: object) -> None:
    assert found == right, report
