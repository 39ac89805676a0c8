"""Where the demo's figures come from: the provider itself when there is a key, else the sandbox."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from convergence.domain.run import Run
from convergence.engine.services import Services
from convergence.entry.cli.session import UNFINISHED, Session
from convergence.ports.documents import Order

KEY_VARIABLE: Final = "OPENAI_ADMIN_KEY"
TRIGGER: Final = "demo"  # of runs whose provider is the sandbox


@dataclass(frozen=True, slots=True)
class Source:
    """Where to ask, with which key; `sandbox` tells whether the answers are replayed."""

    key: str
    base_url: str | None  # None: the pipeline's default
    description: str
    sandbox: bool


@asynccontextmanager
async def source(session: Session) -> AsyncIterator[Source]:
    """Give the source; the sandbox listens while this is open."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if key:
        yield Source(key, None, f"OpenAI's own API, with the key in {KEY_VARIABLE}", sandbox=False)
        return
    server, known_key = session.installation.sandbox()
    base_url = await server.start()
    try:
        yield Source(known_key, base_url, server.describe(), sandbox=True)
    finally:
        await server.stop()


async def listen_again(session: Session, services: Services, stack: AsyncExitStack) -> None:
    """Let the sandbox listen where unfinished runs of an earlier demo expect it, until `stack` is closed."""
    page = await services.documents.query("runs", where=UNFINISHED, order=[Order("check_at")])
    await serve(session, [Run.from_data(document.data) for document in page.documents], stack)


async def serve(session: Session, runs: list[Run], stack: AsyncExitStack) -> None:
    """Let the sandbox listen on the ports that these runs ask; a port that is taken is left to its owner."""
    asked = [value for run in runs if run.trigger == TRIGGER for value in run.parameters.values()]
    urls = {value for value in asked if isinstance(value, str) and value.startswith("http://127.0.0.1:")}
    for port in sorted({port for url in urls if (port := urlsplit(url).port) is not None}):
        server, _ = session.installation.sandbox()
        try:
            await server.start(port)
        except OSError as error:
            session.out.note(f"the sandbox of an earlier demo cannot listen on port {port} again: {error.strerror}")
            continue
        stack.push_async_callback(server.stop)
