"""Stored procedures follow their files: before the first call of a process, what changed is replaced."""

from __future__ import annotations

import logging

from convergence.config.files.procedures import load_procedures
from convergence.engine.procedures import sync
from convergence.engine.services import Services

logger = logging.getLogger(__name__)


async def ensure_routines(services: Services, called: str) -> None:
    """Synchronise once in a process, and only where this process is the only one that could.

    On Google Cloud a deployment does it: there, a check would cost every cold start a job. A file that is wrong stops
    only the calls of its own procedure: that is retried, and its error raised.
    """
    if not services.settings.sole_process:
        return
    async with services.cache.lock("procedures of all orgs"):
        cache = services.cache
        if cache.routines_synced and called not in cache.routines_failed:
            return
        routines = load_procedures(services.configs_dir)
        done = await sync(
            services.warehouse, [each for each in routines if not cache.routines_synced or each.name == called]
        )
        cache.routines_synced = True
        cache.routines_failed = {*(cache.routines_failed - {called}), *done.failed}
        for name, error in done.failed.items():
            logger.warning("procedure %s: %s", name, error)
        if called in done.failed:
            raise done.failed[called]
