"""Cancel a run: one commit. Its unfinished steps are shown as cancelled, but not written."""

from __future__ import annotations

from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.engine.finish_run import announce
from convergence.engine.messages import publish_webhooks_ready
from convergence.engine.services import Services
from convergence.engine.store import StoredRun, release_writes, require_run, write_run
from convergence.engine.webhooks.create import creates, deliveries_of
from convergence.errors import Conflict
from convergence.ports.documents import Replace, Write


async def cancel(services: Services, org: str, run_id: str, *, reason: str = "cancelled on request") -> Run:
    """Return the run as it is afterwards; one that ended before stays as it ended.

    A running processor is notified at its next lease renewal, or at once if it runs in this process.
    """
    while True:
        stored = await require_run(services, org, run_id)
        if stored.run.terminal:
            return stored.run
        cancelled = _cancelled(services, stored.run, reason, services.ids.new("t"))
        notices = await deliveries_of(services, cancelled)
        try:
            await write_run(services, cancelled, stored.version, *release_writes(stored.run), *creates(notices))
        except Conflict:
            continue
        await announce_cancelled(services, cancelled)
        await publish_webhooks_ready(services.bus, [each.delivery_id for each in notices])
        return cancelled


def cancellation(services: Services, stored: StoredRun, reason: str, token: str) -> tuple[Run, list[Write]]:
    """Return the cancelled run and the writes that cancel it, for a commit that does more; announce it afterwards."""
    cancelled = _cancelled(services, stored.run, reason, token)
    return cancelled, [Replace(cancelled.path, stored.version, cancelled.to_data()), *release_writes(stored.run)]


async def announce_cancelled(services: Services, run: Run) -> None:
    """Stop what this process executes of a cancelled run, and publish its end."""
    for (leased_run, _), lease in list(services.cache.leases.items()):
        if leased_run == run.run_id:
            lease.stop("the run is cancelled")
    await announce(services, run)


def _cancelled(services: Services, run: Run, reason: str, token: str) -> Run:
    moved = run.advance(RunStatus.CANCELLED, at=services.clock.now(), reason=reason, token=token)
    return changed(moved, queue=None)
