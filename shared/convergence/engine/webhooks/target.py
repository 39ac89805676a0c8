"""Where a webhook may point: to a public host by https. On a developer's machine also to that machine itself.

Names are resolved, and their addresses checked, by the connection that sends (`adapters/http`), so that a name that
changes its address later leads nowhere either. What can be seen in the address itself is refused when it is stored.
"""

from __future__ import annotations

from typing import Final

from convergence.domain.addresses import DEFAULT_REACH, LOOPBACK, check_reachable
from convergence.errors import InvalidInput, StepFailed

URL_MAX: Final = 2_000


def check_target(url: str, *, production: bool) -> None:
    """Raise `InvalidInput` for an address that no webhook is sent to. The message does not repeat it."""
    import httpx  # heavy, and most processes store and send nothing

    if len(url) > URL_MAX:
        raise InvalidInput(f"the address of a webhook may have at most {URL_MAX} characters, this one has {len(url)}")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidInput(f"the address of the webhook is not a URL: {error}") from error
    host = parsed.raw_host.decode("ascii").lower()
    here = host in LOOPBACK and not production
    if parsed.scheme != "https" and not (parsed.scheme == "http" and here):
        raise InvalidInput("the address of a webhook must begin with https://")
    if not host or parsed.userinfo or parsed.fragment:
        raise InvalidInput("the address of a webhook must name a host, without a user or a #fragment")
    if parsed.port is not None and not 0 < parsed.port < 65_536:
        raise InvalidInput(f"the address of a webhook must have a port from 1 to 65535, not {parsed.port}")
    if here:
        return
    try:
        check_reachable(host, "public" if production else DEFAULT_REACH)
    except StepFailed as error:
        reason = str(error).partition(";")[0]
        raise InvalidInput(f"a webhook is sent to a public host only: {reason}") from error
