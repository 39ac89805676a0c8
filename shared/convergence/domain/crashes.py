"""Counting crashes of processes while they ran a step (design: docs/engine.md §13).

A process that dies takes everything it ran with it, so a crash alone does not show which step caused it. A step
becomes suspect only after crashes of processes that had proven themselves; then it runs alone, and only crashes that
happen there count against it. Every commit by an owner resets all counts to zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from convergence.domain.step import Step

SUSPECT_AFTER: Final = 2  # deaths of proven processes
WAIT_MAX_S: Final = 60.0

NO_LEASE: Final[Mapping[str, Any]] = {
    "lease_owner": "",
    "lease_until": None,
    "lease_proven": False,
    "lease_isolated": False,
    "loading": False,
}
# The changes that every commit by an owner includes.
RELEASED: Final[Mapping[str, Any]] = {
    **NO_LEASE,
    "crashes": 0,
    "crashes_when_proven": 0,
    "crashes_when_isolated": 0,
}


def count_crash(step: Step, now: datetime) -> dict[str, Any]:
    """Return the changes to a running step whose owner was found dead.

    The wait grows each time, up to a minute, so that a step that kills young processes eventually runs in one that
    has been up long enough to be proven.
    """
    crashes = step.crashes + 1
    alone = step.lease_proven and step.lease_isolated
    return {
        **NO_LEASE,
        "crashes": crashes,
        "crashes_when_proven": step.crashes_when_proven + step.lease_proven,
        "crashes_when_isolated": step.crashes_when_isolated + alone,
        "not_before": now + timedelta(seconds=wait_s(crashes)),
    }


def wait_s(crashes: int) -> float:
    """Return how long a step waits after its n-th consecutive crash."""
    return min(WAIT_MAX_S, 2.0 ** min(crashes, 10))


def suspect(step: Step) -> bool:
    """True for a step that has to run alone from now on."""
    return step.crashes_when_proven >= SUSPECT_AFTER


def crash_report(step: Step) -> str:
    """Describe the crashes for people."""
    alone = f", {step.crashes_when_isolated} of them while it ran alone" if step.crashes_when_isolated else ""
    return f"its process died {times(step.crashes)}{alone}"


def times(number: int) -> str:
    """Return a number of times."""
    return "once" if number == 1 else f"{number} times"
