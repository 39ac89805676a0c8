"""Work that waits for a tick: how late it may be, and the line that an alert counts (infra/monitoring.tf)."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

logger = logging.getLogger(__name__)
LATE: Final = timedelta(minutes=10)  # ten ticks


def warn_if_late(what: str, due_at: datetime, now: datetime) -> None:
    """Log how late the first of these (`schedules`, `runs`) is, when that is more than `LATE`."""
    if now - due_at > LATE:
        logger.warning("%s are late by %d minutes", what, (now - due_at) // timedelta(minutes=1))
