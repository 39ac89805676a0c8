"""What a night is like: where orgs are, how long steps take, and what goes wrong.

Assumed, and stated in docs/scale.md: shares of zones, seconds of steps, latencies. None was measured on Google Cloud.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

ORGS: Final = 10_000
PIPELINES: Final = 3
START: Final = datetime(2026, 11, 30, tzinfo=UTC)
# Where orgs are: share by zone.
ZONES: Final = {
    "America/New_York": 0.30, "America/Chicago": 0.10, "America/Los_Angeles": 0.15, "America/Sao_Paulo": 0.05,
    "Europe/London": 0.10, "Europe/Berlin": 0.15, "Asia/Kolkata": 0.05, "Asia/Tokyo": 0.05, "Australia/Sydney": 0.05,
}  # fmt: skip
# A run's steps in a row: what each waits for, and seconds. Seven, two of them loads, as in docs/cost.md.
STEPS: Final = (
    ("provider", 20.0), ("load", 6.0), ("query", 4.0), ("load", 6.0), ("query", 3.0), ("query", 4.0), ("provider", 1.0),
)  # fmt: skip
OUTAGE_TRY_S: Final = 60.0  # until a step of a provider that is away gives up: tries in place, with waits
READ_S: Final = 0.01  # Firestore: a read or a query
COMMIT_S: Final = 0.025
DECRYPT_S: Final = 0.02  # Cloud KMS
PUBLISH_S: Final = 0.02  # Pub/Sub, until it is accepted
DELIVER_S: Final = 0.05  # and until it is pushed
COLD_S: Final = 4.0  # a new instance, until it takes requests
IDLE_S: Final = 900.0  # without a request, after which an instance is removed


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is different from an ordinary night. Times in seconds after midnight UTC."""

    jitter_s: int = 3_600  # jitter_minutes of the shipped schedules
    runs_max: int | None = 120  # CONVERGENCE_RUNS_MAX of infra/functions.tf
    outage: tuple[float, float] | None = None  # of the provider; what failed is replayed ten minutes after its end
    crowd: int = 0  # more runs of one org, asked for at once
    zone_lost_at: float | None = None  # a third of all instances dies


SCENARIOS: Final = {
    "an ordinary night": Scenario(),
    "no jitter": Scenario(jitter_s=0),
    "a provider is away for an hour": Scenario(outage=(7 * 3_600, 8 * 3_600)),
    "one org has 5,000 queued runs": Scenario(crowd=5_000),
    "a zone is lost": Scenario(zone_lost_at=7 * 3_600 + 1_810),
}


def zones(orgs: int) -> list[str]:
    """Return the zone of each org."""
    return random.Random(0).choices(list(ZONES), list(ZONES.values()), k=orgs)
