"""Wait for a run that another process drives."""

from __future__ import annotations

from typing import Final

from convergence.domain.run import Run
from convergence.engine.reconcile import reconcile_run
from convergence.engine.services import Services
from convergence.engine.store import require_run

_LOOK_S: Final = 0.5
_LONGEST_S: Final = 8.0  # between two attempts to close a run whose end steps still run: each attempt writes it


async def await_run(services: Services, org: str, run_id: str, seconds: float) -> Run:
    """Return the run when it is terminal, its end steps done and its rows counted; after `seconds`, as it is then.

    Looks every half second: one document read each.
    """
    until = services.clock.now().timestamp() + seconds
    close_at, pause_s = 0.0, _LOOK_S
    while True:
        run = (await require_run(services, org, run_id)).run
        now = services.clock.now().timestamp()
        if run.terminal and run.check_at is not None and now >= close_at:  # the reconciler takes up to a minute
            await reconcile_run(services, run_id)
            run = (await require_run(services, org, run_id)).run
            close_at, pause_s = now + pause_s, min(2 * pause_s, _LONGEST_S)
        left = until - services.clock.now().timestamp()
        if run.check_at is None or left <= 0:
            return run
        await services.clock.sleep(min(_LOOK_S, left))
