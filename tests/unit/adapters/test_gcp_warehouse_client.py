"""The connections of BigQuery's client, seen by a server that lets all calls in before it answers one."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

from convergence.adapters.gcp.warehouse.client import HTTP, Client
from tests.simulation.faults import SeededIds
from tests.unit.adapters.firestore_world import BusyClock

AT_ONCE = 32


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    together = threading.Barrier(AT_ONCE)

    def do_GET(self) -> None:
        self.together.wait(60)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None:
        return


class Server(ThreadingHTTPServer):
    connections = 0
    request_queue_size = AT_ONCE

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()


def test_calls_at_one_moment_keep_their_connections_for_the_next() -> None:
    server = Server(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    endpoint = f"127.0.0.1:{server.server_port}"
    client = Client(
        project="p", location="EU", credentials=None, endpoint=endpoint, clock=BusyClock(), ids=SeededIds(Random(1))
    )

    def ask(bigquery: Any) -> None:
        list(bigquery.list_datasets(**HTTP))

    async def scenario() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(AT_ONCE))
        for _ in range(3):
            await asyncio.gather(*(client.call(ask, doing="listing") for _ in range(AT_ONCE)))

    try:
        asyncio.run(scenario())
    finally:
        client.close()
        server.shutdown()
        serving.join()
        server.server_close()
    assert server.connections == AT_ONCE
