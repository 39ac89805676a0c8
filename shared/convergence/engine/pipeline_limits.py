"""What a pipeline allows of itself: `rate_limit_per_minute` and `run_once`."""

from __future__ import annotations

from convergence.domain.rate import Bucket
from convergence.domain.run import Run
from convergence.engine.services import Services
from convergence.engine.store import once_path, rate_path, write
from convergence.errors import InvalidInput, RateLimited
from convergence.ports.documents import Write


async def take_turn(services: Services, run: Run, per_minute: int | None) -> list[Write]:
    """Return the write that counts a run of a pipeline with a limit per minute. Raises `RateLimited`.

    The bucket is a document, so that the limit holds for all processes together.
    """
    if per_minute is None:
        return []
    now, path = services.clock.now().timestamp(), rate_path(run)
    stored = await services.documents.get(path)
    bucket = Bucket(float(per_minute), now) if stored is None else Bucket(stored.data["tokens"], stored.data["at"])
    taken, left = bucket.take(per_minute, now)
    if not taken.allowed:
        message = f"{run.pipeline} may run at most {per_minute} times a minute for an org (its rate_limit_per_minute)."
        raise RateLimited(message, retry_after_s=taken.retry_after_s)
    version = 0 if stored is None else stored.version
    return [write(path, version, {"tokens": left.tokens, "at": left.at, "token": run.token})]


async def check_once(services: Services, run: Run) -> None:
    """Raise `InvalidInput` when the pipeline runs once and has completed; the run's `force_param` lifts that."""
    if not run.run_once:
        return
    force = services.catalog.get(run.pipeline).pipeline.execution.force_param
    if force is not None and run.parameters.get(force) is True:
        return
    mark = await services.documents.get(once_path(run))
    if mark is not None:
        advice = f"; to run it again pass {force}=true" if force else ""
        raise InvalidInput(f"{run.pipeline} runs only once, and run {mark.data['run_id']} completed it{advice}")
