"""`subscription.plans`: the org's SaaS subscriptions, kept term by term → `saas_subscription_plans`.

`set` adds a term or replaces the one of the same first day, `remove` deletes terms, `import` reads a CSV, `list`
returns them. A change that would leave contradictory terms is not made.
"""

from __future__ import annotations

from collections.abc import Iterable

from convergence.processors.record_editor import RecordEditor
from convergence.processors.subscription.terms import Term, successive


class PlanEditor(RecordEditor[Term]):
    """The first day names a term of a subscription."""

    fixed_table = "saas_subscription_plans"
    model = Term
    key = ("subscription_id", "starts_on")
    name = "plans"

    def refuse_contradictions(self, records: Iterable[Term]) -> None:
        """Raise `StepFailed` for terms that cover one day twice, or have two currencies."""
        successive(records)


def get_engine() -> PlanEditor:
    """Return the processor."""
    return PlanEditor()
