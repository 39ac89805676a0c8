"""A webhook of an org, and a server on this machine that it sends to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from typing import Any, NamedTuple

from tests.unit.entry.api.conftest import Api

URL = "https://hooks.example.com/convergence"


async def created(api: Api, **body: Any) -> dict[str, Any]:
    """Create a webhook of acme."""
    answer = await api.ask("POST", "/webhooks/acme", org="acme", json={"url": URL} | body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


class Received(NamedTuple):
    """A request that came to the receiver."""

    headers: Message
    body: bytes


@contextmanager
def receiver(status: int = 204, location: str = "") -> Iterator[tuple[str, Queue[Received]]]:
    """Yield the address of a server on this machine, and what comes to it."""
    came: Queue[Received] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.put(Received(self.headers, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status)
            if location:
                self.send_header("location", location)
            self.end_headers()

        def log_message(self, *given: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", came
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
