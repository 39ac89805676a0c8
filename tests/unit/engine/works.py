"""What steps of these tests do, and two pipelines that most of them use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from convergence.ports.processor import Context

TWO = """
steps:
  - {step_id: extract_a, ps_type: generic.noop}
  - {step_id: load_b, ps_type: generic.noop, depends_on: extract_a}
"""


def one(**fields: Any) -> str:
    step = {"step_id": "load_a", "ps_type": "generic.noop", **fields}
    return "steps: " + orjson.dumps([step]).decode()


def failing(error: BaseException, times: int = 99) -> Any:
    calls = iter(range(times))

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        if next(calls, None) is not None:
            raise error
        return {"status": "SUCCESS"}

    return work


def returning(result: Any) -> Any:
    async def work(step_config: Mapping[str, Any], context: Context) -> Any:
        return result

    return work
