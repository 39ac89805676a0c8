"""Staged rows of executions that died, which none will load."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from convergence.domain.run import Run
from convergence.engine.services import Services
from convergence.engine.step.effects import job_id_of
from convergence.engine.store import read_all_steps
from convergence.ports.documents import Order, Where
from convergence.ports.warehouse import RowRemover, StagedRows

_PAGE: Final = 100
_EVER: Final = "9999"  # later than every time


async def remove_stages(services: Services) -> int:
    """Remove stages that were not written to for days, except those of steps that may continue; return how many.

    A step may rest for longer (its server was down), and then needs what its earlier slices staged.
    """
    warehouse, kept = services.warehouse, services.retention().abandoned_stages
    if not isinstance(warehouse, RowRemover):
        return 0
    old = warehouse.stages_before(services.clock.now() - timedelta(days=kept.days))
    used = await _used(services, {each.table for each in old}) if old else set()
    abandoned = [each for each in old if _job_of(each) not in used]
    for each in abandoned:
        warehouse.drop_stage(each)
    return len(abandoned)


def _job_of(stage: StagedRows) -> str:
    """Return the job that a stage belongs to: its name ends with the number of the execution."""
    return stage.name.rpartition("_")[0]


async def _used(services: Services, tables: set[str]) -> set[str]:
    """Return the jobs that unfinished steps may have staged rows of these tables under."""
    used: set[str] = set()
    cursor: str | None = None
    while True:
        page = await services.documents.query(
            "runs", where=[Where("check_at", "<=", _EVER)], order=[Order("check_at")], limit=_PAGE, cursor=cursor
        )
        for document in page.documents:
            run = Run.from_data(document.data)
            for step in (await read_all_steps(services, run)).values():
                if not step.step.done:
                    used |= {job_id_of(run.run_id, step.step.step_id, "stage", run.epoch, name) for name in tables}
        cursor = page.cursor
        if cursor is None:
            return used
