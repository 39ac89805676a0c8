"""A schedule by its id, by its pipeline, by its name, or by both where one alone is not enough: `PIPELINE:NAME`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from convergence.engine.schedules.store import schedules_of
from convergence.engine.services import Services
from convergence.entry.cli.server import Server, quoted
from convergence.errors import InvalidInput, NotFound, did_you_mean


class _Known(NamedTuple):
    schedule_id: str
    pipeline: str
    name: str

    @property
    def words(self) -> tuple[str, ...]:
        """All that it may be called."""
        return (self.schedule_id, self.pipeline, self.name, f"{self.pipeline}:{self.name}")


async def local_id(services: Services, org: str, given: str) -> str:
    """Return the id of a schedule of `org`. Raises `NotFound` with near names, and `InvalidInput` for two."""
    found = (each.schedule for each in await schedules_of(services, org))
    return _id([_Known(each.schedule_id, each.pipeline, each.name) for each in found], org, given)


def remote_id(server: Server, org: str, given: str) -> str:
    """Return the id as `local_id` does, of a server's schedule."""
    found = server.get(f"/scheduler/schedules/{quoted(org)}")["schedules"]
    return _id([_Known(each["schedule_id"], each["pipeline"], each["name"]) for each in found], org, given)


def _id(known: Sequence[_Known], org: str, given: str) -> str:
    found = [each for each in known if given in each.words]
    if len(found) > 1:
        several = ", ".join(f"{each.pipeline}:{each.name} ({each.schedule_id})" for each in found)
        raise InvalidInput(f"{given!r} could be {several}: name one of them")
    if not found:
        words = {word for each in known for word in each.words[1:3]}
        none = "" if known else " It has none: `convergence serve` makes those of the pipelines it has keys for."
        raise NotFound(f"{org} has no schedule {given[:100]!r}.{did_you_mean(given[:100], words)}{none}")
    return found[0].schedule_id
