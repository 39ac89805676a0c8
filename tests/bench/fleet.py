"""A fleet on virtual time: 10,000 orgs × 3 pipelines at 02:00 local time, against limits that Google publishes.

A model, in one process and a few seconds: no engine runs. Real are the jitter of each schedule (`jitter_of`), the
instances of the functions (function.yaml), how many documents and messages each move costs (counted at the wire,
tests/repo/cost_page.py) and the prices. Assumed, and stated in docs/scale.md, are latencies and how long steps take.
Limits: Firestore's 500/50/5 rule and BigQuery's and KMS's quotas, as read in November 2026.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import count
from typing import Any, Final
from zoneinfo import ZoneInfo

from convergence.domain.schedule import jitter_of
from tests.emulators.topology import functions
from tests.repo import cost_page

ORGS, PIPELINES = 10_000, 3
DAY: Final = date(2026, 11, 30)
# Where orgs are: share by zone.
ZONES: Final = {
    "America/New_York": 0.30, "America/Chicago": 0.10, "America/Los_Angeles": 0.15, "America/Sao_Paulo": 0.05,
    "Europe/London": 0.10, "Europe/Berlin": 0.15, "Asia/Kolkata": 0.05, "Asia/Tokyo": 0.05, "Australia/Sydney": 0.05,
}  # fmt: skip
# A run's steps in a row: (who is waited for, seconds). Seven, two of them loads, as in docs/cost.md.
STEPS: Final = (
    ("provider", 20.0), ("bigquery", 6.0), ("bigquery", 4.0), ("bigquery", 6.0), ("bigquery", 3.0), ("bigquery", 4.0),
    ("provider", 1.0),
)  # fmt: skip
FIRED_PER_S: Final = 300  # a tick decides pages of 100 schedules, each some 0.3 s of Firestore's time
ADMISSION_S: Final = 0.2  # a look at an org's queue that starts a run
RETRY_S: Final = (30.0, 120.0, 480.0, 1_800.0)  # after failures of a provider; the last repeats
LEASE_S: Final = 90.0  # until the steps of a lost instance are found
FLOOR: Final = 500  # Firestore: operations a second that need no ramp, and half more every five minutes
RAMP: Final = 1.5
WINDOW_S: Final = 300
LIMITS: Final = {
    "BigQuery: concurrent requests of one account": 300,
    "BigQuery: jobs.insert a second of one account": 100,
    "BigQuery: load jobs a day of the project": 100_000,
    "KMS: operations a minute": 60_000,
}
GOAL: Final = 0.7


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is different from an ordinary night. Times in seconds UTC of the day."""

    jitter_s: int = 3_600  # jitter_minutes of the shipped schedules
    runs_max: int = 120  # CONVERGENCE_RUNS_MAX of infra/functions.tf
    outage: tuple[float, float] | None = None  # of the provider
    crowd: int = 0  # more runs of one org, all at once
    crowd_at_once: int = 20
    zone_lost_at: float | None = None


SCENARIOS: Final = {
    "an ordinary night": Scenario(),
    "no jitter, no cap": Scenario(jitter_s=0, runs_max=1_000_000),
    "no jitter": Scenario(jitter_s=0),
    "a provider is away for an hour": Scenario(outage=(7 * 3_600, 8 * 3_600)),
    "one org has 5,000 queued runs": Scenario(crowd=5_000),
    "a zone is lost": Scenario(zone_lost_at=7 * 3_600 + 1_810),
}


def starts(jitter_s: int) -> Iterator[float]:
    """Yield when each schedule is due, at the minute's tick that sees it."""
    zones = random.Random(0).choices(list(ZONES), list(ZONES.values()), k=ORGS)
    first = datetime.combine(DAY, time(0), UTC)
    two = {zone: datetime.combine(DAY, time(2), ZoneInfo(zone)).astimezone(UTC) - first for zone in ZONES}
    for number, zone in enumerate(zones):
        for pipeline in range(PIPELINES):
            due = two[zone].total_seconds() + jitter_of(f"org{number}", f"p{pipeline}", jitter_s)
            yield -(-due // 60) * 60 % 86_400


class Night:
    """Runs through functions of limited size. What is used of each service is counted by the second."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        files = functions()
        self.slots = files["step"].max_instances * files["step"].concurrency
        self.admitters = files["scheduler"].max_instances * files["scheduler"].concurrency
        self.firestore: Counter[int] = Counter()
        self.inserts: Counter[int] = Counter()
        self.at_work: Counter[int] = Counter()  # steps, by second
        self.requests: Counter[int] = Counter()  # open at BigQuery, by second
        self.loads = self.steps = self.runs = self.retries = 0
        self._events: list[tuple[float, int, str, Any]] = []
        self._number = count()
        self._free, self._active = self.slots, 0
        self._waiting: deque[tuple[float, Any]] = deque()  # steps, for an instance
        self._queued: deque[float] = deque()  # runs, for room under the cap
        self._random = random.Random(0)
        self.step_wait = self.queue_wait = self.end = 0.0

    def go(self) -> None:
        """Play the night."""
        due = sorted(starts(self._scenario.jitter_s))
        fired = self._paced(due, 1 / FIRED_PER_S)
        for at in fired:
            self._use(at, cost_page.QUEUED)
        admitted = self._paced(fired, ADMISSION_S / self.admitters)
        for at in admitted:
            self._push(at, "begin", None)
        self._crowd(min(admitted))
        while self._events:
            at, _, kind, what = heapq.heappop(self._events)
            self.end = max(self.end, at)
            if kind == "begin":
                self._begin(at)
            elif kind == "ready":
                self._take(at, what)
            else:
                self._done(at, what)

    @staticmethod
    def _paced(times: list[float], each_s: float) -> list[float]:
        """Return when a stage that takes `each_s` for one is done with each."""
        free, out = 0.0, []
        for at in times:
            free = max(at, free) + each_s
            out.append(free)
        return out

    def _begin(self, at: float) -> None:
        if self._active >= self._scenario.runs_max:
            self._queued.append(at)
            return
        self._active += 1
        self.runs += 1
        self._use(at, cost_page.RUN)
        self._push(at, "ready", (0, 0, None))

    def _crowd(self, at: float) -> None:
        """One org's many runs: no more than its limit at once, the rest waits in its queue."""
        each_s = sum(seconds for _, seconds in STEPS)
        for number in range(self._scenario.crowd):
            self._push(at + number // self._scenario.crowd_at_once * each_s, "begin", None)

    def _push(self, at: float, kind: str, what: Any) -> None:
        heapq.heappush(self._events, (at, next(self._number), kind, what))

    def _take(self, at: float, what: Any) -> None:
        if self._free == 0:
            self._waiting.append((at, what))
            return
        self._free -= 1
        self._execute(at, what)

    def _execute(self, at: float, what: Any) -> None:
        index, failures, _ = what
        service, seconds = STEPS[index]
        self.steps += 1
        self._use(at, cost_page.STEP)
        failed = False
        outage = self._scenario.outage
        if service == "provider" and outage and outage[0] <= at < outage[1]:
            failed, seconds = True, 5.0
        lost = self._scenario.zone_lost_at
        if lost is not None and at <= lost < at + seconds and self._random.random() < 1 / 3:  # of three zones
            seconds = lost - at + LEASE_S + seconds  # found by the reconciler, and done again elsewhere
            self.retries += 1
        span = range(int(at), int(at + seconds) + 1)
        self.at_work.update(span)
        if service == "bigquery":
            self.requests.update(span)
            self.inserts[int(at)] += 2  # a load job and its script, or a query
            self.loads += index in {1, 3}
        self._push(at + seconds, "done", (index, failures + failed if failed else 0, failed))

    def _done(self, at: float, what: Any) -> None:
        index, failures, failed = what
        if failed:
            self.retries += 1
            pause = RETRY_S[min(failures, len(RETRY_S)) - 1] * self._random.uniform(0.5, 1.5)
            self._push(at + pause, "ready", (index, failures, None))
        elif index + 1 < len(STEPS):
            self._push(at, "ready", (index + 1, 0, None))
        else:
            self._active -= 1
            if self._queued:
                since = self._queued.popleft()
                self.queue_wait = max(self.queue_wait, at - since)
                self._begin(at)
        if self._waiting:
            since, waiting = self._waiting.popleft()
            self.step_wait = max(self.step_wait, at - since)
            self._execute(at, waiting)
        else:
            self._free += 1

    def _use(self, at: float, counted: dict[str, int]) -> None:
        self.firestore[int(at)] += counted["reads"] + counted["writes"]

    def ramp(self) -> float:
        """Return the highest share of what Firestore's ramp allows, over windows of five minutes."""
        allowed, share = float(FLOOR), 0.0
        for window in range(86_400 * 2 // WINDOW_S):
            seconds = range(window * WINDOW_S, (window + 1) * WINDOW_S)
            used = sum(self.firestore[each] for each in seconds) / WINDOW_S
            share = max(share, used / allowed)
            allowed = max(FLOOR, used * RAMP, allowed if used else FLOOR)
        return share


def measure_one(scenario: Scenario) -> dict[str, Any]:
    """Return makespan, the peak of each limit as a share of it, and dollars."""
    night = Night(scenario)
    night.go()
    minute = Counter[int]()
    for second, used in night.inserts.items():
        minute[second // 60] += used
    peaks = {
        "step function: steps at once": max(night.at_work.values()) / night.slots,
        "Firestore: the 500/50/5 ramp": night.ramp(),
        "BigQuery: concurrent requests of one account": max(night.requests.values())
        / LIMITS["BigQuery: concurrent requests of one account"],
        "BigQuery: jobs.insert a second of one account": max(minute.values())
        / 60
        / LIMITS["BigQuery: jobs.insert a second of one account"],
        "BigQuery: load jobs a day of the project": night.loads / LIMITS["BigQuery: load jobs a day of the project"],
        "KMS: operations a minute": night.runs / 60 / LIMITS["KMS: operations a minute"],
    }
    first = max(peaks, key=lambda name: peaks[name])
    dollars = night.steps * cost_page.engine(cost_page.STEP) + night.runs * cost_page.engine(cost_page.RUN)
    return {
        "runs": night.runs,
        "steps": night.steps,
        "repeated": night.retries,
        "ends_at": f"{int(night.end) // 3600:02}:{int(night.end) // 60 % 60:02}",
        "longest_wait_in_the_queue_s": round(night.queue_wait),
        "longest_wait_for_an_instance_s": round(night.step_wait),
        "peaks": {name: round(share, 2) for name, share in peaks.items()},
        "nearest_limit": first,
        "usd": round(dollars, 2),
    }


def measure() -> dict[str, Any]:
    """Return the figures of every scenario."""
    return {"shape": "fleet", **{name: measure_one(scenario) for name, scenario in SCENARIOS.items()}}


def table() -> str:
    """Return the table of docs/scale.md."""
    found = {name: measure_one(scenario) for name, scenario in SCENARIOS.items()}
    limits = next(iter(found.values()))["peaks"]
    lines = ["| a night | " + " | ".join(limits) + " | longest wait in the queue |"]
    lines.append("| --- |" + " --: |" * (len(limits) + 1))
    for name, figures in found.items():
        shares = " | ".join(f"{share:.0%}" for share in figures["peaks"].values())
        lines.append(f"| {name} | {shares} | {figures['longest_wait_in_the_queue_s'] / 60:.0f} min |")
    return "\n".join(lines)
