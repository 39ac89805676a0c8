"""Lets the sandbox listen again where runs of an earlier demo expect it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final
from urllib.parse import urlsplit

from convergence.domain.run import Run
from convergence.engine.services import Services
from convergence.entry.cli.installation import Installation
from convergence.entry.cli.output import Output
from convergence.ports.documents import Order, Where

TRIGGER: Final = "demo"  # of runs whose provider is the sandbox
_LOOPBACK: Final = "http://127.0.0.1:"
UNFINISHED: Final = [Where("check_at", ">", "")]


async def listen_again(installation: Installation, out: Output, services: Services, stack: AsyncExitStack) -> None:
    """Let the sandbox listen where unfinished runs of an earlier demo expect it, until `stack` is closed."""
    page = await services.documents.query("runs", where=UNFINISHED, order=[Order("check_at")])
    await serve(installation, out, [Run.from_data(document.data) for document in page.documents], stack)


def is_loopback(value: object) -> bool:
    """True for an address on which the sandbox may listen."""
    return isinstance(value, str) and value.startswith(_LOOPBACK)


async def serve(installation: Installation, out: Output, runs: list[Run], stack: AsyncExitStack) -> None:
    """Let the sandbox listen on the ports that these runs call; a port that is in use is left to its owner."""
    asked = [value for run in runs if run.trigger == TRIGGER for value in run.parameters.values()]
    urls = {value for value in asked if is_loopback(value)}
    for port in sorted({port for url in urls if (port := urlsplit(url).port) is not None}):
        server, _ = installation.sandbox()
        try:
            await server.start(port)
        except OSError as error:
            out.note(f"the sandbox of an earlier demo cannot listen on port {port} again: {error.strerror}")
            continue
        stack.push_async_callback(server.stop)
