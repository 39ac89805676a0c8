"""Stored procedures follow their files: before the first call of a process, what changed is replaced."""

from __future__ import annotations

from convergence.config.files.procedures import load_procedures
from convergence.engine.services import Services


async def ensure_routines(services: Services) -> None:
    """Synchronise once in a process, and only where this process is the only one that could.

    On Google Cloud a deployment does it: there, looking would cost every cold start a job.
    """
    if not services.settings.sole_process:
        return
    async with services.cache.lock("procedures of all orgs"):
        if not services.cache.routines_synced:
            await services.warehouse.sync_routines(load_procedures(services.configs_dir))
            services.cache.routines_synced = True
