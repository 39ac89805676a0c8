"""The amount by which a provider's bill exceeds or falls short of the computed cost, per day, model and kind of charge.

Only days for which the latest bill has at least one line: without a bill nothing is known to differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convergence.config.processors import ps_types
from convergence.ports.processor import Context
from convergence.processors.genai.charge import DIGITS
from convergence.processors.genai.differences import classify
from convergence.processors.genai.reconciliation import ReconciliationProcessor, ReconciliationSettings


async def residual_rows(provider: str, context: Context) -> list[dict[str, Any]]:
    """Return rows of `genai_residual_daily_reconciled`, also those without a difference; none for a provider that
    prices its usage itself, whose charges are the bill."""
    name = f"{provider}.reconciliation"
    reconciliation = ps_types.load(name) if ps_types.is_installed(name) else None
    if not isinstance(reconciliation, ReconciliationProcessor):
        return []
    compared = await reconciliation.compared(context)
    billed_days = {row["usage_date"] for row in compared.billed}
    accounts: Sequence[str] = sorted({row["account_id"] for row in compared.billed if row["account_id"]})
    today, options = context.now().date(), ReconciliationSettings()
    rows = []
    for (day, model, charge), pair in sorted(compared.pairs.items()):
        if day not in billed_days:
            continue
        young = (today - day).days <= options.late_days and charge != "unknown"
        reason, explanation = classify(pair, options.rounding, young=young)
        billed = pair.billed is not None
        sources = pair.bill_rows if billed else pair.usage_rows
        rows.append(
            {
                "usage_date": day,
                "provider": provider,
                "account_id": accounts[0] if accounts else None,
                "model": model or None,
                "charge_kind": charge,
                "difference": pair.difference.quantize(DIGITS),
                "currency": pair.currency,
                "class": reason,
                "explanation": explanation or None,
                "source_table": reconciliation.billed_table if billed else reconciliation.usage_table,
                "source_pipeline_id": pair.bill_pipeline if billed else pair.usage_pipeline,
                "source_row_id": " ".join(sorted(sources)) or None,
            }
        )
    return rows
