"""Classes of an older kind, `__init__(config, org_slug, run_id)` with validate, extract, transform and load."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable, Mapping, Sized
from typing import Any

from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context


class LegacyProcessor:
    """Runs such a class as a step: validate, then extract → transform → load, each given the previous result.

    A method that the class does not have is skipped; one that takes no argument gets none. Plain methods run in
    a thread, so they may block. `validate` returning False is a final error. A mapping with a `status` from the
    last method is the step's result; anything else is counted as the rows.
    """

    def __init__(self, older: type) -> None:
        self._older = older

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Run the class once."""
        config = copy.deepcopy(dict(step_config))  # such classes modify their config, but the plan is shared
        config.update(config.pop("config", {}))
        instance = self._older(config, context.org_slug, context.run_id)
        valid = await _call(getattr(instance, "validate", None))
        if valid is False:
            raise StepFailed(f"{self._older.__name__}.validate() refused the step's config")
        rows: Any = None
        for name in ("extract", "transform", "load"):
            method = getattr(instance, name, None)
            if method is not None:
                answer = await _call(method, rows)
                rows = rows if answer is None else answer
        if isinstance(rows, Mapping) and "status" in rows:
            return rows
        outputs = dict(rows) if isinstance(rows, Mapping) else {}
        count = len(rows) if isinstance(rows, Sized) and not outputs else rows if isinstance(rows, int) else 0
        return {"status": SUCCESS, "rows_processed": count, **outputs}


async def _call(method: Callable[..., Any] | None, *given: Any) -> Any:
    if method is None:
        return None
    arguments = given[: len(inspect.signature(method).parameters)]
    if inspect.iscoroutinefunction(method):
        return await method(*arguments)
    return await asyncio.to_thread(method, *arguments)
