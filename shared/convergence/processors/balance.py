"""Accounts for the rows that a step read: read = loaded + quarantined + filtered + duplicate, or the step fails.

For steps that load the rows they read. A step that derives other rows from them (charges from usage, days from a
contract) has no such balance.
"""

from __future__ import annotations

from convergence.errors import StepFailed


def balanced(
    read: int, *, loaded: int, quarantined: int = 0, filtered: int = 0, duplicate: int = 0
) -> dict[str, dict[str, int]]:
    """Return the part `balance` of a step's result.

    `quarantined`: set aside in `org_meta_quarantine_rows`. `filtered`: left out on purpose. `duplicate`: already
    present from another row or source. Raises `StepFailed` when the parts are not what was read.
    """
    parts = {"loaded": loaded, "quarantined": quarantined, "filtered": filtered, "duplicate": duplicate}
    if sum(parts.values()) != read or min(parts.values()) < 0:
        raise StepFailed(f"the balance does not close: {read} rows were read, but {parts}")
    return {"balance": {"read": read, **parts}}
