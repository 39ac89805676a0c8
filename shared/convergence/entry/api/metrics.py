"""Metrics for Prometheus. Labels are route templates, never orgs or runs, so that they stay few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from convergence.domain.events import DELAY_MS
from convergence.domain.status import RunStatus, StepStatus
from convergence.ports.bus import Message

_RUN_STATUSES: Final = frozenset(status.value for status in RunStatus)
_STEP_STATUSES: Final = frozenset(status.value for status in StepStatus)
_DELAYS_S: Final = (1, 5, 15, 30, 60, 120, 300, 900, 3_600, 21_600, 86_400)


class Metrics:
    """Requests of this process, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("convergence_http_requests", "Requests answered.", labels, registry=self._registry)
        self._seconds = Histogram(
            "convergence_http_request_seconds",
            "Time until the head of the answer is sent.",
            ("route",),
            registry=self._registry,
        )
        self._accepted = Counter("convergence_runs_accepted", "Runs accepted by this API.", registry=self._registry)
        self._runs = Counter(
            "convergence_runs", "Transitions of runs, by status.", ("status",), registry=self._registry
        )
        self._steps = Counter(
            "convergence_steps", "Transitions of steps, by status.", ("status",), registry=self._registry
        )
        self._retries = Counter(
            "convergence_step_retries", "Steps that wait for another attempt.", registry=self._registry
        )
        self._dead = Counter("convergence_dead_letters", "Announced dead letters.", registry=self._registry)
        self._deliveries = Counter(
            "convergence_webhook_deliveries",
            "Attempts to deliver to webhooks, by outcome.",
            ("outcome",),
            registry=self._registry,
        )
        self._delivered: dict[str, int] = {}
        self._waiting = Gauge("convergence_queue_runs", "Runs that wait in queues.", registry=self._registry)
        self._lag = Gauge(
            "convergence_schedule_lag_seconds", "Age of the oldest undecided firing.", registry=self._registry
        )
        self._delay = Histogram(
            "convergence_schedule_delay_seconds",
            "From when a scheduled run was due until it was accepted.",
            buckets=_DELAYS_S,
            registry=self._registry,
        )

        # Found once for each combination: the library looks for a label under a lock, on each request.
        self._request = cache(lambda method, route, status: self._requests.labels(method, route, str(status)))
        self._second = cache(self._seconds.labels)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._request(method, route, status).inc()
        self._second(route).observe(seconds)

    def accepted(self) -> None:
        """Count a run."""
        self._accepted.inc()

    def moved(self, messages: Sequence[Message]) -> None:
        """Count moves of runs and steps, as their events tell."""
        for message in messages:
            subject, _, status = message.attributes.get("type", "").partition(".")
            if subject == "run" and status in _RUN_STATUSES:
                self._runs.labels(status).inc()
                self._delayed(message)
            elif subject == "step" and status in _STEP_STATUSES:
                self._steps.labels(status).inc()
                self._retries.inc(status == StepStatus.RETRYING.value)

    def _delayed(self, message: Message) -> None:
        if DELAY_MS.encode() not in message.data:
            return
        data = orjson.loads(message.data)["data"]
        if DELAY_MS in data:  # and not just in a text
            self._delay.observe(data[DELAY_MS] / 1000)

    def died(self, messages: Sequence[Message]) -> None:
        """Count dead letters, as they are announced."""
        self._dead.inc(len(messages))

    def delivered(self, outcomes: Mapping[str, int]) -> None:
        """Note how many attempts to deliver to webhooks had which outcome since the process began."""
        for outcome, count in outcomes.items():
            self._deliveries.labels(outcome).inc(count - self._delivered.get(outcome, 0))
            self._delivered[outcome] = count

    def queues(self, waiting: int, lag_s: float) -> None:
        """Note how many runs wait, and for how long the oldest firing has been due."""
        self._waiting.set(waiting)
        self._lag.set(lag_s)

    def text(self) -> bytes:
        """Return the exposition format."""
        return generate_latest(self._registry)
