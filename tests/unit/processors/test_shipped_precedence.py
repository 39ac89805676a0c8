"""The shipped rules of precedence: what the bill has counts once."""

from __future__ import annotations

import asyncio

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.processors.focus.precedence import SUPERSEDED
from tests.unit.processors.focus_charges import VISIBLE, asked
from tests.unit.processors.precedence_claims import SECOND, Claim, bring, costs
from tests.unit.processors.step_world import FIRST, ManualClock, WorldContext

ENTERPRISE = "/providers/Microsoft.Billing/billingAccounts/B-1"
SHIPPED: dict[str, dict[str, list[Claim]]] = {
    "azure_openai": {  # the pipeline reads one resource of two, and a second day that is not in the bill yet
        "azure": [("azure", "Azure OpenAI", ENTERPRISE, FIRST, 30), ("azure", "Storage", ENTERPRISE, FIRST, 2)],
        "azure_openai": [
            ("azure_openai", "Azure OpenAI", "b-1", FIRST, 10),
            ("azure_openai", "Azure OpenAI", "b-1", SECOND, 5),
            ("azure_openai", "Azure OpenAI", "b-2", FIRST, 7),
        ],
    },
    "bedrock": {  # a gateway's file has the list price of what AWS bills, and what another account pays for
        "aws": [("aws", "Amazon Bedrock", "1", FIRST, 30), ("aws", "Amazon S3", "1", FIRST, 2)],
        "focus": [
            ("focus", "Amazon Bedrock", "1", FIRST, 10),
            ("focus", "Amazon Bedrock", "1", SECOND, 5),
            ("focus", "Amazon Bedrock", "2", FIRST, 7),
        ],
    },
    "bedrock: editions": {  # what AWS calls models of others
        "aws": [
            ("aws", "Claude 3.5 Sonnet (Amazon Bedrock Edition)", "1", FIRST, 30),
            ("aws", "Claude", "1", FIRST, 2),
        ],
        "focus": [
            ("focus", "Amazon Bedrock", "1", FIRST, 10),
            ("focus", "Claude 3 (Amazon Bedrock Edition)", "1", SECOND, 5),
            ("focus", "Amazon Bedrock", "2", FIRST, 7),
        ],
    },
    "azure_openai: cognitive": {
        "azure": [("azure", "Cognitive Services", "b-1", FIRST, 30), ("azure", "Storage", "b-1", FIRST, 2)],
        "azure_openai": [
            ("azure_openai", "Azure OpenAI", "b-1", FIRST, 10),
            ("azure_openai", "Azure OpenAI", "b-1", SECOND, 5),
            ("azure_openai", "Azure OpenAI", "b-2", FIRST, 7),
        ],
    },
    "bedrock_commitments": {  # a bill that has the purchase counts for the whole month
        "aws": [("aws", "Claude 3.5 Sonnet (Amazon Bedrock Edition)", "1", SECOND, 30), ("aws", "S3", "1", FIRST, 2)],
        "commitment": [
            ("commitment", "Amazon Bedrock", "1", FIRST, 10),
            ("commitment", "Amazon Bedrock", "2", SECOND, 5),
            ("commitment", "Amazon Bedrock", "2", FIRST, 7),
        ],
    },
    "azure_commitments_in_files": {
        "focus": [("focus", "Cognitive Services", "1", SECOND, 30), ("focus", "Storage", "1", FIRST, 2)],
        "commitment": [
            ("commitment", "Azure OpenAI", "1", FIRST, 10),
            ("commitment", "Azure OpenAI", "2", SECOND, 5),
            ("commitment", "Azure OpenAI", "2", FIRST, 7),
        ],
    },
    "google_ai": {
        "gcp": [("gcp", "Vertex AI", "g", FIRST, 30), ("gcp", "Compute Engine", "g", FIRST, 2)],
        "vertex": [
            ("vertex", "Vertex AI", "g", FIRST, 10),
            ("vertex", "Vertex AI", "g", SECOND, 5),
            ("vertex", "Vertex AI", "h", FIRST, 7),
        ],
    },
}


@pytest.mark.parametrize("rule", SHIPPED)
@pytest.mark.parametrize("reverse", [False, True])
def test_the_shipped_rules_count_what_the_bill_has_once(rule: str, reverse: bool) -> None:
    async def main() -> None:
        clock = ManualClock()
        warehouse = DuckDbWarehouse(None, clock=clock)
        try:
            context = WorldContext(None, warehouse, clock)
            sources = sorted(SHIPPED[rule].items(), reverse=reverse)
            for source, claims in sources:
                await bring(context, source, claims)
            assert (await costs(context, VISIBLE), await costs(context, SUPERSEDED)) == ([2, 5, 7, 30], [10])
            (reason,) = await asked(context, f"SELECT x_SupersededReason AS reason FROM {SUPERSEDED}")
            bill = min(
                SHIPPED[rule], key=["azure", "aws", "gcp", "focus", "azure_openai", "vertex", "commitment"].index
            )
            assert reason["reason"] == f"rule {rule.split(':', maxsplit=1)[0]}: charges of {bill} count"
            await bring(context, bill, [])
            assert (await costs(context, VISIBLE), await costs(context, SUPERSEDED)) == ([5, 7, 10], [])
        finally:
            warehouse.close()

    asyncio.run(main())
