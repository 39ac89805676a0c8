"""Callers confirm a backfill whose slices would probably do one day again and again, or leave days out."""

from __future__ import annotations

from typing import Final

from convergence.domain.backfill import Step
from convergence.engine.check_days import HOW
from convergence.engine.services import Services
from convergence.errors import ConfigErrors, InvalidInput, NotFound

_RANGE: Final = frozenset({"start_date", "end_date", "start_ts", "end_ts"})
_ONE_DAY: Final = frozenset({"date", "run_date", "pipeline_run_date", "day"})
_OF_THE_START: Final = frozenset({"fire_date", "yesterday"})


def check_slices(services: Services, pipeline: str, step: Step) -> None:
    """Raise `InvalidInput` where the file's templates read no day that a slice sets, or one day of a longer slice.

    Which of the run's days processors read by themselves is not known here, so the caller can confirm it.
    """
    try:
        names = services.catalog.get(pipeline).prepared.names
    except (NotFound, ConfigErrors):  # its creation reports that
        return
    if names & _RANGE:
        return
    if names & _ONE_DAY:
        if step is not Step.DAY:
            raise InvalidInput(
                f"{pipeline} reads one day ({_listed(names & _ONE_DAY)}): a run of a {step} would process only its"
                f" last day. Choose day as the step; {HOW}"
            )
    elif names & _OF_THE_START and not names & {"year", "month"}:
        raise InvalidInput(
            f"{pipeline} reads its day from {_listed(names & _OF_THE_START)}, the day on which a run starts: every"
            f" slice would process the same day. Write {{date}}, or {{start_date}} and {{end_date}}; {HOW}"
        )


def _listed(names: frozenset[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))
