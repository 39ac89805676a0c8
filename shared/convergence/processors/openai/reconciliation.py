"""`openai.reconciliation`: computed cost against the provider's bill → `openai_cost_daily_reconciled`."""

from __future__ import annotations

from convergence.processors.genai.reconciliation import Line, ReconciliationProcessor
from convergence.processors.openai.lines import line


class OpenAIReconciliation(ReconciliationProcessor):
    """Compares `openai.cost` with `openai.billing`."""

    computed_table = "openai_cost_daily"
    billed_table = "openai_billing_daily_raw"
    prices_table = "openai_model_pricing"

    def line(self, item: str | None, unit: str | None) -> Line:
        """Return model, kind of charge and factor of a line item."""
        return line(item, unit)


def get_engine() -> OpenAIReconciliation:
    """Return the processor."""
    return OpenAIReconciliation()
