"""`genai.contract_commitment`: the org's commitments as FOCUS's Contract Commitment → `contract_commitment_1_3`.

Columns as in FOCUS 1.3: periods are half-open in UTC. A commitment to use has its unit-hours over the whole term as
quantity. The cost is that of the whole term. `x_Terms` has the other terms that FOCUS 1.4 requires.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter, Row
from convergence.processors.genai.commitment_terms import CommitmentEditor
from convergence.processors.genai.commitments.focus_terms import known_terms
from convergence.processors.genai.commitments.terms import Commitment
from convergence.processors.settings import Destination, Settings, settings
from convergence.processors.subscription.terms import ONE_DAY

TABLE: Final = "contract_commitment_1_3"
# A load replaces the rows of its own pipeline and credential; commitments are the org's.
FORGET: Final = f"DELETE FROM {TABLE} WHERE x_org_slug = @org AND x_run_id <> @run_id"  # noqa: S608 - our own name


class ContractProcessor:
    """Replaces the whole data set of the org."""

    config_model = Settings
    destination_model = Destination
    fixed_table = TABLE

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return how many commitments there are."""
        settings(Settings, step_config)
        known = await CommitmentEditor().stored(context)
        stage = context.warehouse.stage(TABLE)
        await stage.write(0, [contract_row(each) for each in known.values()])
        loaded = await context.warehouse.load(stage, dates=None)
        texts = {"org": context.org_slug, "run_id": context.run_id}
        parameters = {name: Parameter("STRING", text) for name, text in texts.items()}
        await context.warehouse.query(FORGET, parameters, write=True, repeatable=True)
        return {
            "status": SUCCESS,
            "rows_processed": len(known),
            "rows_written": loaded.rows_loaded,
            "table": TABLE,
        }


def contract_row(commitment: Commitment) -> Row:
    """Return the columns of FOCUS."""
    first, last = commitment.contract
    days = (commitment.ends_on - commitment.starts_on).days + 1
    is_usage = commitment.category == "Usage"
    return {
        "BillingCurrency": commitment.currency,
        "ContractCommitmentCategory": commitment.category,
        "ContractCommitmentCost": commitment.total(),
        "ContractCommitmentDescription": commitment.description
        or f"{commitment.commitment_type} {commitment.resource or commitment.commitment_id}",
        "ContractCommitmentId": commitment.commitment_id,
        "ContractCommitmentPeriodEnd": _midnight(commitment.ends_on + ONE_DAY),
        "ContractCommitmentPeriodStart": _midnight(commitment.starts_on),
        "ContractCommitmentQuantity": commitment.unit_hours * days if is_usage else None,
        "ContractCommitmentType": commitment.commitment_type,
        "ContractCommitmentUnit": f"{commitment.unit_name}-Hours" if is_usage else None,
        "ContractId": commitment.contract_id or commitment.commitment_id,
        "ContractPeriodEnd": _midnight(last + ONE_DAY),
        "ContractPeriodStart": _midnight(first),
        "x_Terms": known_terms(
            commitment.billing_cycle, commitment.starts_on, commitment.ends_on, commitment.focus_terms
        ),
    }


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def get_engine() -> ContractProcessor:
    """Return the processor."""
    return ContractProcessor()
