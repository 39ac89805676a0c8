"""Limit the number of open connections of a server.

Over the limit the connection that the server owes nothing gives way: first one without a request, then one whose
request has not arrived, each time the oldest one of the address that has most of them. So one address cannot keep the
others out, and probes are answered while idle connections hold every place.
"""

from __future__ import annotations

from typing import Final, Protocol

RESERVED: Final = 2  # one descriptor of two is left to databases, files and calls of providers
LIMIT_UNKNOWN: Final = 1_024  # descriptors, where the system names none


class Connection(Protocol):
    """What is known of a connection."""

    address: str  # of the caller; of an IPv6 one its network

    def give_way(self) -> None:
        """Close the connection at once."""


class Connections:
    """The open connections of a process by what they wait for, the oldest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[Connection] = set()
        self._idle = _ByAddress()  # no request, or a part of a head
        self._sending = _ByAddress()  # a head, and a part of a body

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, connection: Connection) -> bool:
        """Add a connection; False when the server works for all that are open, so that it must be refused."""
        if len(self._open) >= self._most:
            oldest = self._idle.oldest() or self._sending.oldest()
            if oldest is None:
                return False
            self.leave(oldest)
            oldest.give_way()
        self._open.add(connection)
        self._idle.add(connection)
        return True

    def leave(self, connection: Connection) -> None:
        """Forget a connection, which may be unknown."""
        self._open.discard(connection)
        self._idle.discard(connection)
        self._sending.discard(connection)

    def idle(self, connection: Connection) -> None:
        """Note that the connection waits for a request."""
        self._move(connection, self._idle)

    def sending(self, connection: Connection) -> None:
        """Note that a body is on its way."""
        self._move(connection, self._sending)

    def working(self, connection: Connection) -> None:
        """Note that a whole request has arrived."""
        self._move(connection, None)

    def _move(self, connection: Connection, to: _ByAddress | None) -> None:
        if connection not in self._open:
            return
        for group in (self._idle, self._sending):
            if group is not to:
                group.discard(connection)
        if to is not None:
            to.add(connection)


class _ByAddress:
    """Connections by address, the oldest of each first."""

    def __init__(self) -> None:
        self._of: dict[str, dict[Connection, None]] = {}

    def add(self, connection: Connection) -> None:
        self._of.setdefault(connection.address, {}).setdefault(connection)

    def discard(self, connection: Connection) -> None:
        same = self._of.get(connection.address)
        if same is not None:
            same.pop(connection, None)
            if not same:
                del self._of[connection.address]

    def oldest(self) -> Connection | None:
        address = max(self._of, key=lambda address: len(self._of[address]), default=None)
        return None if address is None else next(iter(self._of[address]))


def most_connections(requested: int) -> int:
    """Return how many connections to keep open: `wanted`, or half of the process's descriptors if that is less."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return requested
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = LIMIT_UNKNOWN if soft == resource.RLIM_INFINITY else soft
    return max(1, min(requested, descriptors // RESERVED))
