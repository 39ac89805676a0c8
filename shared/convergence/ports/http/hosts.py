"""The hosts that the caller's code may call: a check that applies to every request of the step that set it.

The transport cannot know whose step sends a request through the client that all share, and a processor may build an
address from anything. So the check travels in the context of the step's tasks, and the transport calls it each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

HostCheck = Callable[[str], None]  # a host as it is sent, in lower case; raises `StepFailed` to refuse it
_current: Final[ContextVar[HostCheck | None]] = ContextVar("host_check", default=None)


@contextmanager
def hosts_checked(check: HostCheck | None) -> Iterator[None]:
    """Let `check` decide about the host of every request that is sent inside, also by tasks that are begun there."""
    token = _current.set(check)
    try:
        yield
    finally:
        _current.reset(token)


def check_host(host: str) -> None:
    """Ask the check that holds here, if there is one. Raises `StepFailed`."""
    check = _current.get()
    if check is not None:
        check(host.lower())
