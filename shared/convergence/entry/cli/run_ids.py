"""Runs by the id that a person types: whole, or as much of it as tells it from the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from convergence.engine.services import Services
from convergence.engine.store import require_run
from convergence.errors import InvalidInput, NotFound, did_you_mean
from convergence.ports.documents import Order

RECENT: Final = 200  # runs that the beginning of an id is compared with
SURE: Final = len("run_") + 8  # this many characters are one run's, also among runs that are not compared
WHOLE: Final = len("run_") + 20
_SHOWN: Final = 5


async def find_run(services: Services, run_id: str | None) -> tuple[str, str]:
    """Return (org, run id) of a run, of the latest one without an id.

    Raises:
        NotFound: with the nearest ids, or the latest ones.
        InvalidInput: several runs begin with it.
    """
    document = None if run_id is None or "/" in run_id else await services.documents.get(f"runs/{run_id}")
    if document is None:
        page = await services.documents.query("runs", order=[Order("created_at", descending=True)], limit=RECENT)
        latest = {str(found.data["run_id"]): found for found in page.documents}
        if not latest:
            raise NotFound("there is no run yet" if run_id is None else f"there is no run {run_id!r}")
        document = latest[pick(run_id, list(latest), complete=page.cursor is None)]
    org = str(document.data["org"])
    return org, (await require_run(services, org, str(document.data["run_id"]))).run.run_id


def pick(given: str | None, latest: Sequence[str], *, complete: bool) -> str:
    """Return the run of `latest` (latest first, not empty) that begins with `given`; the first one without it.

    `complete`: there are no other runs.

    Raises:
        NotFound: none begins so, or the beginning is so short that an older run may begin that way too.
        InvalidInput: several do.
    """
    if given is None:
        return latest[0]
    found = [run_id for run_id in latest if run_id.startswith(given)] if given.startswith("run_") else []
    if len(found) > 1:
        shown = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
        raise InvalidInput(f"{given!r} may be any of {len(found)} runs: {shown}; give more of the id")
    if found and (complete or len(given) >= SURE):
        return found[0]
    close = did_you_mean(given, latest)
    if not close.startswith(" Did"):
        close = f" The latest: {', '.join(latest[:_SHOWN])}."
    raise NotFound(f"there is no run {given!r}.{close}")
