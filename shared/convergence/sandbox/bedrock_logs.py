"""Logs of model invocations of Bedrock, a file for each day: calls that add up to all tokens that CloudWatch counts.

Shape: Amazon Bedrock user guide, "Monitor model invocation using CloudWatch Logs and Amazon S3" (schemaVersion 1.0).
"""

from __future__ import annotations

import gzip
import re
from datetime import date
from typing import Any, Final

import orjson

from convergence.sandbox import aws
from convergence.sandbox.http import Request, Response

REGION: Final = "us-east-1"
CALLS: Final = 4  # of a model on a day; CloudWatch has more, and the same tokens
_PATH: Final = re.compile(r"/v1/bedrock-logs/(\d{4}-\d{2}-\d{2})\.json\.gz")


def is_ours(path: str) -> bool:
    """Return whether a request is for a log."""
    return _PATH.fullmatch(path) is not None


def answer(request: Request) -> Response:
    """Answer with the calls of a day."""
    found = _PATH.fullmatch(request.path)
    assert found is not None, "is_ours says so"
    day = date.fromisoformat(found[1])
    written = {"last-modified": f"{day:%a, %d %b %Y} 23:59:59 GMT"}
    return Response(200, gzip.compress(log(day)), written, content_type="application/gzip")


def log(day: date) -> bytes:
    """Return the calls of a day, one record on each line."""
    return b"".join(orjson.dumps(_call(day, model, number)) + b"\n" for model in aws.MODELS for number in range(CALLS))


def _call(day: date, model: str, number: int) -> dict[str, Any]:
    counted = aws.counted(day)
    read, wrote = (_share(counted[metric, model], number) for metric in ("InputTokenCount", "OutputTokenCount"))
    return {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": f"{day}T{number * 6:02}:30:00Z",
        "accountId": aws.ACCOUNT,
        "identity": {"arn": f"arn:aws:sts::{aws.ACCOUNT}:assumed-role/app/session-{number}"},
        "region": REGION,
        "requestId": f"{day}-{aws.MODELS.index(model)}-{number}",
        "operation": "Converse",
        "modelId": model,
        "input": {
            "inputContentType": "application/json",
            "inputBodyJson": {"messages": [{"role": "user", "content": [{"text": "A prompt of the sandbox"}]}]},
            "inputTokenCount": read,
        },
        "output": {
            "outputContentType": "application/json",
            "outputBodyJson": {"stopReason": "end_turn", "usage": {"inputTokens": read, "outputTokens": wrote}},
            "outputTokenCount": wrote,
        },
    }


def _share(whole: int, number: int) -> int:
    return whole // CALLS + (whole % CALLS if number == 0 else 0)
