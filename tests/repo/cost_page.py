"""The figures of docs/cost.md: what the tests count, times list prices. `python -m tests.repo.cost_page` prints them.

Prices: US dollars, us-central1, as read in November 2026 on cloud.google.com/firestore/pricing, /pubsub/pricing,
/run/pricing, /bigquery/pricing, /kms/pricing, /workflows/pricing and aws.amazon.com/step-functions/pricing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MILLION: Final = 1_000_000
TIB: Final = 2**40

# Counted at the wire by tests/unit/adapters/test_engine_on_firestore.py, one test for each line.
STEP: Final = {"reads": 2, "writes": 2, "messages": 1, "hints": 0, "events": 2}
RUN: Final = {"reads": 5, "writes": 5, "messages": 0, "hints": 1, "events": 2}  # a run's start and end
LOOK: Final = {"reads": 7, "writes": 1, "messages": 0, "hints": 0, "events": 2}  # the reconciler, at a run of five
TICK: Final = {"reads": 10, "writes": 0, "messages": 0, "hints": 0, "events": 0}  # with nothing to do
QUEUED: Final = {"reads": 13, "writes": 4, "messages": 0, "hints": 1, "events": 1}  # a wait, on top of a run's start

# Assumed, and stated on the page.
STEP_S: Final = 0.2  # a step that mostly waits
STEP_AT_ONCE: Final = 8  # steps in work on one vCPU, of the 16 that functions/step/function.yaml allows
STEP_GIB: Final = 2.0
HINT_S: Final = 0.05  # the scheduler's look at the org whose run has ended
HINTS_AT_ONCE: Final = 4
HINT_GIB: Final = 1.0
EVENT_S: Final = 0.05
EVENTS_AT_ONCE: Final = 40
EVENT_GIB: Final = 0.5
LOG_ROW_BYTES: Final = 1_024
DAY: Final = {"orgs": 10_000, "runs": 3, "steps": 7, "loads": 6}  # of each org and day


@dataclass(frozen=True)
class Price:
    """List prices in dollars."""

    read: float = 0.03 / 100_000
    write: float = 0.09 / 100_000
    pubsub_byte: float = 40 / TIB
    pubsub_bytes_min: int = 1_000  # of each publish and of each push
    cpu_s: float = 0.000024
    gib_s: float = 0.0000025
    request: float = 0.40 / MILLION
    streamed_byte: float = 0.01 / (200 * 2**20)
    scanned_byte: float = 6.25 / TIB
    scanned_bytes_min: int = 10 * 2**20  # of each table that a statement reads
    step_functions: float = 25 / MILLION  # a state transition
    workflows: float = 10 / MILLION  # an internal step


PRICE: Final = Price()


def documents(counted: dict[str, int]) -> float:
    """Return what Firestore asks for counted reads and writes."""
    return counted["reads"] * PRICE.read + counted["writes"] * PRICE.write


def messages(counted: dict[str, int]) -> float:
    """Return what Pub/Sub asks: each message is published once and pushed once."""
    number = counted["messages"] + counted["hints"] + counted["events"]
    return number * 2 * PRICE.pubsub_bytes_min * PRICE.pubsub_byte


def instance(seconds: float, at_once: int, gib: float) -> float:
    """Return what Cloud Run asks for a request that shares its instance (one vCPU) with others."""
    return PRICE.request + seconds / at_once * (PRICE.cpu_s + gib * PRICE.gib_s)


def functions(counted: dict[str, int]) -> float:
    """Return what the functions cost that handle counted messages and events."""
    step = instance(STEP_S, STEP_AT_ONCE, STEP_GIB)
    hint = instance(HINT_S, HINTS_AT_ONCE, HINT_GIB)
    event = instance(EVENT_S, EVENTS_AT_ONCE, EVENT_GIB)
    return counted["messages"] * step + counted["hints"] * hint + counted["events"] * event


def log_rows(counted: dict[str, int]) -> float:
    """Return what BigQuery asks for the log rows that events become."""
    return counted["events"] * LOG_ROW_BYTES * PRICE.streamed_byte


def load() -> float:
    """Return what BigQuery asks on demand for a load: the load job is free, its script reads two tables."""
    return 2 * PRICE.scanned_bytes_min * PRICE.scanned_byte


PARTS: Final = {"Firestore": documents, "Pub/Sub": messages, "Cloud Run": functions, "log rows": log_rows}


def engine(counted: dict[str, int]) -> float:
    """Return what the engine costs for counted work, without the warehouse."""
    return sum(part(counted) for part in PARTS.values())


def million_steps() -> str:
    """Return the table of a million steps of chains."""
    lines = ["| per million steps | counted per step | USD |", "| --- | --- | --: |"]
    counts = {
        "Firestore": f"{STEP['reads']} reads, {STEP['writes']} writes",
        "Pub/Sub": f"{STEP['messages']} message, {STEP['events']} events",
        "Cloud Run": f"1 push of {STEP_S * 1000:.0f} ms, {STEP['events']} of {EVENT_S * 1000:.0f} ms",
        "log rows": f"{STEP['events']} rows",
    }
    lines += [f"| {name} | {counts[name]} | {MILLION * part(STEP):.2f} |" for name, part in PARTS.items()]
    lines.append(f"| **Convergence** | | **{MILLION * engine(STEP):.2f}** |")
    transition, internal = MILLION * PRICE.step_functions, MILLION * PRICE.workflows
    lines.append(f"| AWS Step Functions, Standard | 1 transition, no compute, no log | {transition:.2f} |")
    lines.append(f"| Google Workflows | 1 to 3 internal steps, no compute | {internal:.2f} to {3 * internal:.2f} |")
    return "\n".join(lines)


def a_day() -> str:
    """Return the table of a day of all orgs."""
    runs = DAY["orgs"] * DAY["runs"]
    steps, loads = runs * DAY["steps"], DAY["orgs"] * DAY["loads"]
    parts = [
        (f"{steps:,} steps", steps * engine(STEP)),
        (f"{runs:,} runs begun and ended", runs * engine(RUN)),
        (f"{runs:,} looks of the reconciler", runs * engine(LOOK)),
        ("1,440 ticks", 1_440 * (instance(1.0, 1, HINT_GIB) + engine(TICK))),
    ]
    total = sum(dollars for _, dollars in parts)
    lines = [f"| a day of {DAY['orgs']:,} orgs | USD |", "| --- | --: |"]
    lines += [f"| {name} | {dollars:.2f} |" for name, dollars in parts]
    lines.append(f"| **the engine** | **{total:.2f}** |")
    lines.append(f"| {loads:,} loads, BigQuery on demand | {loads * load():.2f} |")
    lines.append(f"| AWS Step Functions, transitions only | {steps * PRICE.step_functions:.2f} |")
    lines.append(f"| Google Workflows, one internal step each | {steps * PRICE.workflows:.2f} |")
    return "\n".join(lines)


def idle_minute() -> str:
    """Return the row of a minute in which nothing is due."""
    reads = TICK["reads"]
    day = 1_440 * documents(TICK)
    return f"| an idle minute | one tick: {reads} reads, since each empty query is billed as one; {day:.3f} USD a day |"


def queued_run() -> str:
    """Return the row of a run that waits in its org's queue before it starts."""
    more = f"{QUEUED['reads']} reads, {QUEUED['writes']} writes, one hint and one event"
    return (
        f"| a queued run | {more} more than one that starts at once; {MILLION * engine(QUEUED):.2f} USD per million |"
    )


if __name__ == "__main__":
    print(million_steps(), a_day(), idle_minute(), queued_run(), sep="\n\n")
