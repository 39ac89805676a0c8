"""`convergence demo --open`: the pages of what the demo did, on this machine until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import webbrowser
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from convergence.config.settings.deployment import read_settings
from convergence.engine.views import runs as views
from convergence.entry.cli.commands.demo.main_job import ORG
from convergence.entry.cli.commands.serve import address_of, listen, serve
from convergence.entry.cli.session import Session
from convergence.errors import InvalidInput

if TYPE_CHECKING:
    from convergence.entry.api.runtime import Runtime

LOOPBACK: Final = "127.0.0.1"


def open_pages(session: Session, *, everything: bool) -> None:
    """Serve on loopback, print a link that opens a session, and show it in a browser where there is one."""
    settings = read_settings()
    session.env, session.project_id = settings.env, settings.GCP_PROJECT_ID
    path = f"/ui/{ORG}/pipelines" if everything else session.go(_latest_run(session))
    listening = _listening(settings.PORT)

    def announce(at: Runtime, _left: int) -> None:
        link = f"{address_of(listening)}/ui/open/{at.sessions.offer()}?next={quote(path, safe='')}"
        session.out.line(f"look at  {link}")
        session.out.note("The link opens a session of the operator's on this machine; Ctrl-C ends it.")
        if has_browser():
            with contextlib.suppress(webbrowser.Error):
                webbrowser.open(link)

    serve(session, settings, listening, announce)


def has_browser() -> bool:
    """Return whether there is a screen that can show a page; a browser for terminals would take this one."""
    if not sys.stdout.isatty():
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


async def _latest_run(session: Session) -> str:
    with session.reading() as services:
        page = await views.history(services, ORG, limit=1)
    return f"/ui/{ORG}/runs/{page['runs'][0]['run_id']}" if page["runs"] else f"/ui/{ORG}/pipelines"


def _listening(port: int) -> socket.socket:
    """Return a socket on the usual port, or on any that is free."""
    try:
        return listen(LOOPBACK, port)
    except InvalidInput:
        return listen(LOOPBACK, 0)
