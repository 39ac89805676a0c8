"""An answer with status 200 that reports a failure is an error, an empty day is not."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from convergence.errors import StepFailed, Throttled
from convergence.ports.http.answers import parsed
from convergence.ports.http.reported_errors import only_tells

FAILURES: list[dict[str, Any]] = [
    {"success": False, "errors": [{"message": "x"}], "data": None},
    {"code": 50011, "msg": "Too many things", "data": []},
    {"code": "E17", "message": "no such report", "data": []},
    {"status": 429, "message": "slow down", "data": []},
    {"status": "500", "data": []},
    {"statusCode": 503, "data": []},
    {"status": "REQUEST_DENIED", "error_message": "bad key", "data": []},
    {"status": "OVER_QUERY_LIMIT", "data": []},
    {"errorCode": "INTERNAL", "errorMessage": "x", "data": []},
    {"Error": {"Code": "Internal"}, "data": []},
    {"fault": {"faultstring": "policy"}, "data": []},
    {"success": "false", "data": []},
]
EMPTY: list[dict[str, Any]] = [
    {"data": []},
    {"success": True, "data": [], "errors": []},
    {"code": 0, "msg": "success", "data": []},
    {"code": 200, "message": "done", "data": []},
    {"code": 1, "message": "OK", "data": []},
    {"code": "SUCCESS", "message": "done", "data": []},
    {"status": "ok", "data": []},
    {"status": 200, "message": "2 hidden", "data": []},
    {"status": "ZERO_RESULTS", "data": []},
    {"errors": 0, "error": None, "errorMessage": "", "data": []},
    {"status": "complete", "next": None, "data": []},
    {"code": 17, "data": []},
]


def read(body: dict[str, Any], data_path: str = "data") -> Any:
    response = httpx.Response(200, headers={"content-type": "application/json"})
    return parsed(response, json.dumps(body).encode(), "acme GET /things", exact=False, data_path=data_path)


@pytest.mark.parametrize("body", FAILURES, ids=json.dumps)
def test_a_failure_under_200_is_an_error(body: dict[str, Any]) -> None:
    with pytest.raises((StepFailed, Throttled)):
        read(body)


@pytest.mark.parametrize("body", EMPTY, ids=json.dumps)
def test_an_empty_page_is_none(body: dict[str, Any]) -> None:
    assert read(body) == body


def test_a_code_beside_records_is_not_an_error() -> None:
    body = {"code": 1, "message": "2 results", "data": [{"id": 1}, {"id": 2}]}
    assert read(body) == body
    with pytest.raises(StepFailed):
        read({**body, "data": []})


def test_a_record_may_have_a_status_and_a_code() -> None:
    record = {"id": 1, "status": "failed", "code": 404, "message": "of the record"}
    assert read(record, data_path="") == record


@pytest.mark.parametrize(
    ("answer", "only"),
    [
        ({"message": "Internal failure"}, True),
        ({"data": None, "message": "Internal"}, True),
        ({"code": 3, "detail": "x"}, True),
        ({}, False),
        ({"data": None}, False),
        ({"message": "none yet", "total": 0}, False),
        ([], False),
    ],
)
def test_an_answer_that_is_a_message_only_is_not_an_empty_page(answer: Any, only: bool) -> None:
    assert only_tells(answer) is only
