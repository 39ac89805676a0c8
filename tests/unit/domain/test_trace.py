"""Traces: what is understood, what is ignored, how one is handed on."""

from __future__ import annotations

import asyncio

import pytest

from convergence.domain.trace import current, trace_of, working_on
from convergence.engine.messages import message

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("headers", "handed_on"),
    [
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, f"00-{TRACE}-{SPAN}-01"),
        ({"traceparent": f"01-{TRACE}-{SPAN}-00-of-a-later-version"}, f"00-{TRACE}-{SPAN}-00"),
        ({"x-cloud-trace-context": f"{TRACE}/67667974448284343;o=1"}, f"00-{TRACE}-{SPAN}-01"),
        ({"x-cloud-trace-context": f"{TRACE}/{2**64 + 5}"}, f"00-{TRACE}-{'0' * 15}5-00"),
        ({"x-cloud-trace-context": f"{TRACE}/{2**64 - 1}"}, f"00-{TRACE}-{'f' * 16}-00"),
        ({"x-cloud-trace-context": TRACE.upper()}, f"00-{TRACE}-{'0' * 15}1-00"),
        ({"traceparent": "nonsense", "x-cloud-trace-context": f"{TRACE}/1"}, f"00-{TRACE}-{'0' * 15}1-00"),
        ({"traceparent": f"ff-{TRACE}-{SPAN}-01"}, None),
        ({"traceparent": f"00-{'0' * 32}-{SPAN}-01"}, None),
        ({"traceparent": f"00-{TRACE}-{'0' * 16}-01"}, None),
        ({"traceparent": f"00-{TRACE}-{SPAN}-ff"}, f"00-{TRACE}-{SPAN}-01"),
        ({"traceparent": f"00-{TRACE}-{SPAN}-0a"}, f"00-{TRACE}-{SPAN}-00"),
        ({"x-cloud-trace-context": f"{'0' * 32}/1"}, None),
        ({"x-cloud-trace-context": "1/2"}, None),
        ({}, None),
    ],
)
def test_what_is_a_trace(headers: dict[str, str], handed_on: str | None) -> None:
    found = trace_of(headers)
    assert (None if found is None else found.header()) == handed_on


def test_messages_carry_the_trace_of_the_work_that_sends_them_also_from_tasks() -> None:
    async def task() -> dict[str, str]:
        return dict(message(b"{}", org="acme").attributes)

    async def work() -> dict[str, str]:
        with working_on(trace_of({"traceparent": f"00-{TRACE}-{SPAN}-01"}), {}):
            return await asyncio.create_task(task())

    assert asyncio.run(work()) == {"schema_version": "1", "org": "acme", "traceparent": f"00-{TRACE}-{SPAN}-01"}
    assert current().trace is None
    assert dict(message(b"{}").attributes) == {"schema_version": "1"}
