"""`convergence sandbox`: the provider APIs of the demo, on this machine."""

from __future__ import annotations

import asyncio
from typing import Final

import click

from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session
from convergence.errors import InvalidInput

PORT: Final = 8765


@click.group("sandbox")
def command() -> None:
    """Provider APIs on this machine that answer with published figures: for trying things out."""


@command.command("start", cls=Command)
@click.option("--port", type=click.IntRange(1, 65_535), default=PORT, show_default=True)
@click.pass_obj
def start(session: Session, port: int) -> int:
    """Serve the sandbox until Ctrl-C, and show how a pipeline asks it. The demo's org starts its own sandbox.

    \b
    Example:
      convergence sandbox start
      convergence run acme openai/auth/setup -p api_base_url=http://127.0.0.1:8765/v1 --secret-from-env api_key=KEY
    """
    return session.go(_serve(session, port))


async def _serve(session: Session, port: int) -> int:
    server, key = session.installation.sandbox()
    try:
        address = await server.start(port)
    except OSError as error:
        raise InvalidInput(f"port {port} cannot be used: {error.strerror}; name another one with --port") from error
    try:
        if session.out.json:
            session.out.data_line({"url": address, "key": key})
        else:
            session.out.line(f"{server.describe()}\n\naddress  {address}\nkey      {key}\n")
            session.out.line("Give a pipeline of OpenAI, Anthropic or DeepSeek this parameter:")
            session.out.line(f"  -p api_base_url={address}")
            session.out.line("Ctrl-C ends it.")
        await asyncio.Event().wait()
    finally:
        await server.stop()
    return 0
