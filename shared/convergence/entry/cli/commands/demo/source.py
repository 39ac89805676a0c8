"""The source of the demo's figures: the provider itself if there is a key, otherwise the sandbox."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from convergence.entry.cli.session import Session

KEY_VARIABLE: Final = "OPENAI_ADMIN_KEY"


@dataclass(frozen=True, slots=True)
class Source:
    """Which address to call, with which key; `sandbox`: the answers are replayed."""

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
