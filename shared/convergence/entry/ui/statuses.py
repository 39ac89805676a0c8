"""The one vocabulary of statuses: a word, a colour and a symbol for each, never a colour alone."""

from __future__ import annotations

from typing import Final, NamedTuple

from convergence.domain.status import COMPLETED_WITH_WARNINGS, RunStatus, StepStatus


class Shown(NamedTuple):
    """How a status looks: its word, the class of its colour, and the name of its symbol."""

    word: str
    colour: str
    symbol: str


PAUSED: Final = "paused"  # of schedules
STATUSES: Final[dict[str, Shown]] = {
    RunStatus.COMPLETED: Shown("Completed", "ok", "ok"),
    COMPLETED_WITH_WARNINGS: Shown("Completed with warnings", "wait", "warn"),
    RunStatus.FAILED: Shown("Failed", "fail", "fail"),
    RunStatus.RUNNING: Shown("Running", "run", "run"),
    StepStatus.PROCESSING: Shown("Processing", "run", "run"),
    RunStatus.QUEUED: Shown("Queued", "wait", "queue"),
    StepStatus.RETRYING: Shown("Retrying", "wait", "wait"),
    RunStatus.PENDING: Shown("Pending", "off", "pend"),
    RunStatus.VALIDATING: Shown("Validating", "off", "pend"),
    RunStatus.SKIPPED: Shown("Skipped", "off", "skip"),
    RunStatus.CANCELLED: Shown("Cancelled", "off", "off"),
    PAUSED: Shown("Paused", "off", "pause"),
    "stopped": Shown("Stopped", "fail", "fail"),  # a backfill, or a replay of many, after too many failures
    "done": Shown("Done", "ok", "ok"),
    "delivered": Shown("Delivered", "ok", "ok"),
    "passed": Shown("Passed", "ok", "ok"),  # of checks, and of the gate in front of FOCUS charges
    "warned": Shown("Warned", "wait", "warn"),
    "quarantined": Shown("Quarantined", "wait", "warn"),
    "matched": Shown("Matched", "ok", "ok"),  # of charges that are compared with a bill or an invoice
    "within": Shown("Within tolerance", "ok", "ok"),
    "explained": Shown("Explained", "wait", "warn"),
    "over": Shown("Over tolerance", "fail", "fail"),
    "not_compared": Shown("Not compared", "off", "pend"),
}
_UNKNOWN: Final = "pend"


def shown(status: str) -> Shown:
    """Return how a status looks; one of a later release keeps its own word."""
    return STATUSES.get(status) or Shown(status.replace("_", " ").capitalize(), "off", _UNKNOWN)
