"""Log lines, as Cloud Logging and Error Reporting read them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from convergence.adapters.gcp.log import ERROR_EVENT, CloudFormatter, write_to
from convergence.domain.trace import trace_of, working_on
from convergence.engine.step.redact import RedactingLogger, Redactor

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, ours, given = logging.getLogger(), logging.getLogger("convergence"), io.StringIO()
    before = (root.handlers[:], root.level, ours.level)
    write_to(given, CloudFormatter(project="p1", service="step", version="step-00001"))
    yield given
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_names_severity_trace_and_what_it_is_about(stream: io.StringIO) -> None:
    trace = trace_of({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    with working_on(trace, {"org": "acme", "run_id": "r1"}):
        logging.getLogger("convergence.x").info("%d rows", 3, extra={"step_id": "extract"})
    (line,) = lines(stream)
    assert (line["severity"], line["message"]) == ("INFO", "3 rows")
    assert line["logging.googleapis.com/trace"] == f"projects/p1/traces/{TRACE}"
    assert (line["logging.googleapis.com/spanId"], line["logging.googleapis.com/trace_sampled"]) == (
        "00f067aa0ba902b7",
        True,
    )
    labels = line["logging.googleapis.com/labels"]
    assert labels == {"org": "acme", "run_id": "r1", "step_id": "extract", "logger": "convergence.x"}


def test_an_error_has_error_reportings_form_with_its_stack(stream: io.StringIO) -> None:
    try:
        raise RuntimeError("the bug")
    except RuntimeError:
        logging.getLogger("convergence.x").exception("a delivery failed")
    (line,) = lines(stream)
    assert (line["@type"], line["severity"]) == (ERROR_EVENT, "ERROR")
    assert line["serviceContext"] == {"service": "step", "version": "step-00001"}
    assert line["stack_trace"].startswith("a delivery failed\nTraceback (most recent call last):")
    assert line["stack_trace"].endswith("RuntimeError: the bug")
    assert line["context"]["reportLocation"]["functionName"] == "test_an_error_has_error_reportings_form_with_its_stack"


def test_a_secret_that_a_step_opened_is_in_no_line(stream: io.StringIO) -> None:
    logger = RedactingLogger(
        logging.getLogger("convergence.step"), Redactor({"sk-very-secret"}), org="acme", step_id="extract"
    )
    try:
        raise RuntimeError("refused sk-very-secret")
    except RuntimeError:
        logger.exception("asked with %s", "sk-very-secret")
    assert "sk-very-secret" not in stream.getvalue()
    assert lines(stream)[0]["logging.googleapis.com/labels"]["step_id"] == "extract"


def test_a_line_stays_one_entry_whatever_it_says() -> None:
    words = ("first\nsecond \ud800 %s", ("x" * 500_000,))  # not logged: pytest's workers cannot carry half a character
    record = logging.LogRecord("convergence.x", logging.WARNING, "here.py", 1, *words, None)
    line = CloudFormatter(project="p1", service="step", version="step-00001").format(record)
    assert len(line) < 256 * 1024
    assert json.loads(line)["message"].startswith("first\nsecond ? x")


def test_others_are_heard_from_warnings_on(stream: io.StringIO) -> None:
    logging.getLogger("somebody.else").info("chatter")
    logging.getLogger("somebody.else").warning("trouble")
    assert [line["message"] for line in lines(stream)] == ["trouble"]
