"""When a record may be removed."""

from __future__ import annotations

from datetime import datetime

from convergence.config.files.retention import RecordKind, expires
from convergence.engine.services import Services
from convergence.errors import NotFound


async def expiry(services: Services, kind: RecordKind, org: str, since: datetime) -> datetime:
    """Return when a record of an org may be removed that is done with since `since`; org empty: the installation's."""
    try:
        profile = (await services.orgs.get(org)).profile if org else {}
    except NotFound:
        profile = {}
    return expires(services.retention(), kind, profile, since)
