"""Metrics for Prometheus. Labels are route templates, never orgs or runs, so that they stay few."""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest


class Metrics:
    """Requests of this process, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("convergence_http_requests", "Requests answered.", labels, registry=self._registry)
        self._seconds = Histogram(
            "convergence_http_request_seconds", "Time to the answer's head.", ("route",), registry=self._registry
        )
        self._accepted = Counter("convergence_runs_accepted", "Runs accepted by this API.", registry=self._registry)

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

    def text(self) -> bytes:
        """Return the exposition format."""
        return generate_latest(self._registry)
