"""`anthropic.reconciliation`: computed cost against the provider's bill → `anthropic_cost_daily_reconciled`."""

from __future__ import annotations

from convergence.processors.anthropic.charges import line
from convergence.processors.genai.pairs import Line
from convergence.processors.genai.reconciliation import ReconciliationProcessor


class AnthropicReconciliation(ReconciliationProcessor):
    """Compares `anthropic.cost` with `anthropic.billing`."""

    fixed_table = "anthropic_cost_daily_reconciled"
    usage_table = "anthropic_usage_daily_raw"
    computed_table = "anthropic_cost_daily"
    billed_table = "anthropic_billing_daily_raw"
    prices_table = "anthropic_model_pricing"

    def line(self, item: str | None, unit: str | None) -> Line:  # noqa: ARG002 - this bill names no quantities
        """Return model, kind of charge and factor of a line item."""
        return line(item)


def get_engine() -> AnthropicReconciliation:
    """Return the processor."""
    return AnthropicReconciliation()
