"""What a step opened does not leave it."""

from __future__ import annotations

import base64
import json
import logging

import pytest

from convergence.engine.step.redact import MASK, ScrubbingLogger, redact

SECRET = "sk-live-ü/+very secret"


def test_a_secret_is_masked_wherever_it_hides() -> None:
    value = {
        "text": f"key={SECRET}!",
        SECRET: [SECRET, {"deep": f"a{SECRET}b"}],
        "quoted": "sk-live-%C3%BC%2F%2Bvery%20secret",
        "encoded": base64.b64encode(SECRET.encode()).decode(),
        "number": 5,
    }
    clean = redact(value, {SECRET})
    assert clean == {
        "text": f"key={MASK}!",
        MASK: [MASK, {"deep": f"a{MASK}b"}],
        "quoted": MASK,
        "encoded": MASK,
        "number": 5,
    }


def test_a_secret_that_begins_another_and_one_of_many_lines_are_masked_whole() -> None:
    assert redact("abcdefghijkl", {"abcdef", "abcdefghijkl"}) == MASK
    key = "-----BEGIN-----\nline two\n-----END-----"
    assert "line two" not in redact(json.dumps({"key": key}), {key})
    assert "line two" not in redact(repr(key), {key})


def test_a_wrong_format_or_a_mapping_does_not_fail_the_step_that_logs(caplog: pytest.LogCaptureFixture) -> None:
    logger = ScrubbingLogger(logging.getLogger("test"), {SECRET})
    logger.warning("%d", "x")
    logger.warning("%(a)s", {"a": SECRET})
    try:
        raise ValueError("inner")
    except ValueError:
        logger.exception("outer")
    assert [MASK in record.getMessage() for record in caplog.records] == [False, True, False]
    assert "ValueError: inner" in caplog.records[-1].getMessage()


def test_nothing_is_touched_when_no_secret_was_opened() -> None:
    value = {"a": [1, "x"]}
    assert redact(value, set()) is value


def test_logs_are_masked_in_arguments_and_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    logger = ScrubbingLogger(logging.getLogger("test"), {SECRET}, run_id="r1")
    try:
        raise ValueError(f"bad key {SECRET}")
    except ValueError as error:
        logger.error("failed with %s", SECRET, exc_info=error)
    (record,) = caplog.records
    assert SECRET not in caplog.text
    assert f"failed with {MASK}" in record.getMessage()
    assert f"bad key {MASK}" in record.getMessage()
    assert record.__dict__["run_id"] == "r1"
