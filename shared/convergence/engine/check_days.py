"""Callers, and messages from outside, confirm days that are probably a slip; the engine's own schedules need not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date
from typing import Any, Final

from convergence.config.cron import zone
from convergence.config.parameters.doubts import doubtful_days
from convergence.engine.services import Services
from convergence.errors import ConfigErrors, InvalidInput, NotFound

HOW: Final = "if this is intended, confirm it with --force (in the API and in messages: force=true)"


def check_days(services: Services, pipeline: str, given: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` for days of a run of `pipeline` that are in the future, or more than ten years of them."""
    doubt = doubt_of(services, pipeline, given)
    if doubt:
        raise InvalidInput(f"{doubt}; {HOW}")


def doubt_of(services: Services, pipeline: str, given: Mapping[str, Any]) -> str:
    """Return what is odd about the days of a run of `pipeline`; empty where nothing is."""
    return doubtful_days(given, today_of(services, pipeline)) or ""


def today_of(services: Services, pipeline: str) -> date:
    """Return the day on which a run of `pipeline` would start, in the zone of its schedule."""
    try:
        schedule = services.catalog.get(pipeline).pipeline.schedule
    except (NotFound, ConfigErrors):  # its run reports that
        schedule = None
    return services.clock.now().astimezone(UTC if schedule is None else zone(schedule.timezone)).date()
