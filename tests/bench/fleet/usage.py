"""What a night uses of each service, and the limits that Google publishes, as read in November 2026.

Firestore: 500 operations a second at first, half more every five minutes (best practices, "Ramping up traffic"), about
a write a second to one document. BigQuery: quotas of query jobs, load jobs and API requests. Cloud KMS: quotas.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.repo.cost_page import PRICE

if TYPE_CHECKING:
    from collections.abc import Iterator

FLOOR: Final = 500
RAMP: Final = 1.5
WINDOW_S: Final = 300
OPEN: Final = "BigQuery: concurrent requests of one account"
INSERTS: Final = "BigQuery: jobs.insert a second of one account"
LOADS: Final = "BigQuery: load jobs a day of the project"
KMS: Final = "KMS: operations a minute"
STEPS: Final = "step function: steps at once"
FIRESTORE: Final = "Firestore: the 500/50/5 ramp"
DOCUMENT: Final = "Firestore: writes a second of one document that orgs share"
LIMITS: Final = {OPEN: 300, INSERTS: 100, LOADS: 100_000, KMS: 60_000, DOCUMENT: 1}
GOAL: Final = 0.7
_SHARED: Final = ("caps/", "admission/", "dead_letter_replays/")


class Usage:
    """Counts on virtual time. Seconds and minutes are those of the night."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.reads: Counter[int] = Counter()  # by second
        self.writes: Counter[int] = Counter()
        self.inserts: Counter[int] = Counter()  # by minute
        self.decrypts: Counter[int] = Counter()
        self.published: Counter[str] = Counter()  # messages by topic
        self.loads = self.open = self.open_max = self.conflicts = 0
        self.instance_s: defaultdict[str, float] = defaultdict(float)  # by function, while it has a request
        self.requests: Counter[str] = Counter()
        self._minute, self._written = 0, Counter[str]()
        self.written_max: Counter[str] = Counter()  # by document: most writes in a minute

    def read(self, documents: int) -> None:
        """Count reads of documents; a query that finds none costs one."""
        self.reads[int(self._now_s())] += documents

    def write(self, paths: list[str]) -> None:
        """Count a commit's writes."""
        self.writes[int(self._now_s())] += len(paths)
        minute = int(self._now_s()) // 60
        if minute != self._minute:
            self._minute = minute
            self._written.clear()
        self._written.update(paths)
        for path in paths:
            self.written_max[path] = max(self.written_max[path], self._written[path])

    def insert(self, jobs: int, *, loads: int = 0) -> None:
        """Count calls that begin a job of BigQuery."""
        self.inserts[int(self._now_s()) // 60] += jobs
        self.loads += loads

    def decrypt(self) -> None:
        """Count a call of KMS."""
        self.decrypts[int(self._now_s()) // 60] += 1

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request that is open at BigQuery."""
        self.open += 1
        self.open_max = max(self.open_max, self.open)
        try:
            yield
        finally:
            self.open -= 1

    def ramp(self) -> float:
        """Return the highest share of what Firestore's ramp allows, over windows of five minutes."""
        allowed, share = float(FLOOR), 0.0
        windows = Counter[int]()
        for counted in (self.reads, self.writes):
            for second, number in counted.items():
                windows[second // WINDOW_S] += number
        for window in range(max(windows) + 1):
            used = windows[window] / WINDOW_S
            share = max(share, used / allowed)
            allowed = max(FLOOR, used * RAMP, allowed if used else FLOOR)
        return share

    def peaks(self, steps_share: float) -> dict[str, float]:
        """Return the largest use of each limit, as a share of it."""
        shared = [number for path, number in self.written_max.items() if path.startswith(_SHARED)]
        return {
            STEPS: steps_share,
            FIRESTORE: self.ramp(),
            DOCUMENT: max(shared, default=0) / 60 / LIMITS[DOCUMENT],
            OPEN: self.open_max / LIMITS[OPEN],
            INSERTS: max(self.inserts.values(), default=0) / 60 / LIMITS[INSERTS],
            LOADS: self.loads / LIMITS[LOADS],
            KMS: max(self.decrypts.values(), default=0) / LIMITS[KMS],
        }

    def dollars(self, gib: dict[str, float]) -> float:
        """Return what the engine's part costs at list prices, without the warehouse; `gib`: memory by function."""
        documents = self.reads.total() * PRICE.read + self.writes.total() * PRICE.write
        messages = self.published.total() * 2 * PRICE.pubsub_bytes_min * PRICE.pubsub_byte
        instances = sum(seconds * (PRICE.cpu_s + gib[name] * PRICE.gib_s) for name, seconds in self.instance_s.items())
        return documents + messages + instances + self.requests.total() * PRICE.request
