"""Steps whose write took effect although the commit of their state was lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from convergence.engine.replay import replay
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from tests.unit.engine.conftest import Engine
from tests.unit.engine.works import one

PARAMETERS = "parameters: {label: {type: string, default: old}}\n"
LABELLED = PARAMETERS + one(config={"label": "{label}"})
Add = Callable[[Context, str], Awaitable[Any]]


class Dying:
    """A step that writes once, and whose state commit is lost after that in the first `deaths` executions."""

    def __init__(self, add: Add, deaths: int = 1, tables: tuple[str, ...] = ()) -> None:
        self._add, self._deaths, self._tables = add, deaths, tables
        self.answers: list[Any] = []

    async def __call__(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        number = len(self.answers)
        self.answers.append(None)
        self.answers[number] = await self._add(context, self._tables[number] if self._tables else "rows")
        if number < self._deaths:
            raise StepFailed("the state commit was lost")
        return {"status": "SUCCESS"}


def rows(engine: Engine) -> list[Any]:
    return [row["label"] for slice_ in engine.warehouse.slices.values() for row in slice_]


async def replayed(engine: Engine, run: Any, **options: Any) -> Any:
    await replay(engine.services, "acme", run.run_id, **options)
    return await engine.worker.wait("acme", run.run_id)
