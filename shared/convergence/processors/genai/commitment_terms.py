"""`genai.commitment_terms`: the org's commitments, as in its contracts → `genai_commitment_terms`.

`set` adds a commitment or replaces the one of the same id, `remove` deletes one, `import` reads a CSV, `list` returns
them.
"""

from __future__ import annotations

from collections.abc import Iterable

from convergence.errors import StepFailed
from convergence.processors.genai.commitments.terms import Commitment
from convergence.processors.record_editor import RECORDS_MAX, RecordEditor


class CommitmentEditor(RecordEditor[Commitment]):
    """Each commitment has its own id."""

    fixed_table = "genai_commitment_terms"
    model = Commitment
    key = ("commitment_id",)
    name = "commitments"

    def refuse_contradictions(self, records: Iterable[Commitment]) -> None:
        """Raise `StepFailed` for too many, or for a contract that has other days in another commitment."""
        known: dict[str, Commitment] = {}
        kept = list(records)
        if len(kept) > RECORDS_MAX:
            raise StepFailed(f"{len(kept)} commitments are more than {RECORDS_MAX}")
        for each in kept:
            if each.contract_id is None:
                continue
            other = known.setdefault(each.contract_id, each)
            if other.contract != each.contract:
                raise StepFailed(
                    f"the contract {each.contract_id} has other days in {other.commitment_id} than in"
                    f" {each.commitment_id}: give both the same contract_starts_on and contract_ends_on"
                )


def get_engine() -> CommitmentEditor:
    """Return the processor."""
    return CommitmentEditor()
