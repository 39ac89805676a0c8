"""Trace context: carried from request headers to log lines, and by messages to the next process.

Formats: `traceparent` (W3C Trace Context, section 3.2) and Google's older `X-Cloud-Trace-Context`
(Cloud Trace, "Trace context": TRACE_ID/SPAN_ID;o=OPTIONS, the span in decimal).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

TRACEPARENT: Final = "traceparent"
CLOUD_TRACE: Final = "x-cloud-trace-context"
_W3C: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_CLOUD: Final = re.compile(r"([0-9a-fA-F]{32})(?:/(\d{1,20}))?(?:;o=(\d+))?")


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace and the span in it that caused this work; hexadecimal, 32 and 16 digits."""

    trace_id: str
    span_id: str
    sampled: bool = False

    def header(self) -> str:
        """Return the value of `traceparent` that hands the trace on."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


@dataclass(frozen=True, slots=True)
class Work:
    """What the current task works on: its trace, and the labels for log lines."""

    trace: Trace | None
    labels: Mapping[str, str]


_NOTHING: Final = Work(None, {})
_WORK: Final[ContextVar[Work]] = ContextVar("work", default=_NOTHING)


def current() -> Work:
    """Return what this task works on."""
    return _WORK.get()


@contextmanager
def working_on(trace: Trace | None, labels: Mapping[str, str]) -> Iterator[None]:
    """Let everything inside, tasks that it starts included, belong to `trace` and carry `labels`."""
    token = _WORK.set(Work(trace, labels))
    try:
        yield
    finally:
        _WORK.reset(token)


def trace_of(*sources: Mapping[str, str]) -> Trace | None:
    """Return the trace that the first of the mappings names (headers in lower case, or attributes of a message)."""
    for source in sources:
        found = _w3c(source.get(TRACEPARENT, "")) or _cloud(source.get(CLOUD_TRACE, ""))
        if found is not None:
            return found
    return None


def _w3c(text: str) -> Trace | None:
    match = _W3C.fullmatch(text)
    if match is None or text.startswith("ff") or not (match[1].strip("0") and match[2].strip("0")):
        return None  # version ff and ids of zeros only are invalid by the standard
    return Trace(match[1], match[2], bool(int(match[3], 16) & 1))


def _cloud(text: str) -> Trace | None:
    match = _CLOUD.fullmatch(text)
    if match is None or not match[1].strip("0"):
        return None
    span = int(match[2] or 0) & (1 << 64) - 1
    return Trace(match[1].lower(), f"{span or 1:016x}", match[3] == "1")  # a span of zeros would end the trace
