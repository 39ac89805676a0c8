"""Caps: how many runs may be active at once over all orgs. Each is a set of leases with expiry, never a counter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

from convergence.domain.records import StoredRecord, from_stored
from convergence.domain.times import to_text

GLOBAL: Final = "global"
_SHARDS_MAX: Final = 50  # every check of a cap reads them all


class Cap(NamedTuple):
    """A limit in force. Its places are spread over `shards` documents, as one takes about a write a second."""

    name: str
    limit: int
    shards: int = 1

    @classmethod
    def sharded(cls, name: str, limit: int, places: int) -> Self:
        """Return a cap with about so many places in each document; the fewer, the less often one is written."""
        return cls(name, limit, max(1, min(_SHARDS_MAX, -(-limit // places))))

    def free(self, active: Sequence[int]) -> int:
        """Return how many places are left, given the number of active ones in each shard.

        A shard may have more than its share from before the limit changed, so their total counts, too.
        """
        room = sum(max(0, self.share(shard) - number) for shard, number in enumerate(active))
        return max(0, min(room, self.limit - sum(active)))

    def paths(self) -> list[str]:
        """Return where its documents are."""
        return [f"caps/{self.name}.{shard}" for shard in range(self.shards)]

    def share(self, shard: int) -> int:
        """Return how many places a shard has."""
        return self.limit // self.shards + (shard < self.limit % self.shards)


@dataclass(frozen=True, kw_only=True)
class CapShard(StoredRecord):
    """What `caps/{name}.{shard}` holds: run id → time after which its place is void."""

    held: Mapping[str, datetime] = field(default_factory=dict)
    token: str = ""

    def active(self, now: datetime, *, but: str = "") -> dict[str, datetime]:
        """Return the places that are taken, without that of the run `but`."""
        return {run: until for run, until in self.held.items() if until > now and run != but}

    def taken(self, run_id: str, *, now: datetime, until: datetime, token: str) -> Self:
        """Return the shard with a place for `run_id`, without those that are void."""
        return replace(self, held={**self.active(now), run_id: until}, token=token)

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        held = {run: to_text(until) for run, until in self.held.items()}
        return {**self.unknown, "held": held, "token": self.token}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        return from_stored(cls, data)


def provider_cap(provider: str) -> str:
    """Return the name of a provider's cap."""
    return f"provider-{provider}"


def credential_cap(credential_id: str) -> str:
    """Return the name of a credential's cap."""
    return f"credential-{credential_id}"
