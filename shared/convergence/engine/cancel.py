"""Cancel a run: one commit. Its unfinished steps are shown as cancelled, but not written."""

from __future__ import annotations

from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.engine.finish_run import announce
from convergence.engine.services import Services
from convergence.engine.store import release_write, require_run, write_run
from convergence.errors import Conflict


async def cancel(services: Services, org: str, run_id: str, *, reason: str = "cancelled on request") -> Run:
    """Return the run as it is afterwards; one that ended before stays as it ended.

    A running processor hears of it at its next lease renewal, at once when it runs in this process.
    """
    while True:
        stored = await require_run(services, org, run_id)
        if stored.run.terminal:
            return stored.run
        token = services.ids.new("t")
        cancelled = stored.run.advance(RunStatus.CANCELLED, at=services.clock.now(), reason=reason, token=token)
        try:
            await write_run(services, cancelled, stored.version, release_write(cancelled))
        except Conflict:
            continue
        for (leased_run, _), lease in list(services.cache.leases.items()):
            if leased_run == run_id:
                lease.stop("the run is cancelled")
        await announce(services, cancelled)
        return cancelled
