"""How uvicorn serves the application: within limits, and without a word about each bad request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import uvicorn

from convergence.entry.api.connections import Connections, most_connections
from convergence.entry.api.http_limits import BoundedHttp, bounded

if TYPE_CHECKING:
    from starlette.types import ASGIApp

REQUESTS_S: Final = 10  # for requests in progress when the server is stopped
IDLE_S: Final = 30  # for the next request on a connection


def http_config(
    app: ASGIApp, *, connections: int, admits_refused: Callable[[str], bool], protocol: type[BoundedHttp] = BoundedHttp
) -> uvicorn.Config:
    """Return the configuration of a server of `app` with at most so many connections; see `bounded`."""
    open_connections = Connections(most_connections(connections))
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="error",  # its warnings are one line for each bad request, which a stranger may send
        access_log=False,
        server_header=False,
        proxy_headers=False,  # FORWARDED_HOPS defines which part of X-Forwarded-For is trusted
        lifespan="off",
        http=bounded(open_connections, admits_refused, protocol),
        ws="none",
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=REQUESTS_S,
    )
