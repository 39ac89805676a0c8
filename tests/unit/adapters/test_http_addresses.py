"""Where steps may connect to: the address that was checked is the one that is called."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from convergence.adapters.http.client import StepClient
from convergence.adapters.http.connector import Resolve
from convergence.adapters.http.transport import CheckedTransport
from convergence.bootstrap.http_client import HttpClient
from convergence.domain.addresses import Reach
from convergence.errors import StepFailed, Transient
from convergence.sandbox.http import HttpServer, Request, Response


class Rebinding:
    """A name server that answers each time with the next address; the last one stays."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return [self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]]


def called(
    resolve: Resolve, *paths: str, reach: Reach = "private", host: str = "api.acme.example"
) -> tuple[list[httpx.Response], list[Request]]:
    """GET each path from a server on this machine that is known as `host`."""
    got: list[Request] = []

    def handler(request: Request) -> Response:
        got.append(request)
        return Response(200, b"[]")

    async def main() -> list[httpx.Response]:
        server = HttpServer(handler)
        port = (await server.start()).rpartition(":")[2]
        try:
            async with httpx.AsyncClient(transport=CheckedTransport(resolve)) as client:
                urls = [f"http://{host}:{port}{path}" for path in paths]
                return [await client.get(url, extensions={"reach": reach}) for url in urls]
        finally:
            await server.stop()

    return asyncio.run(main()), got


def test_a_name_is_resolved_once_for_check_and_connection_and_stays_the_host_header() -> None:
    resolve = Rebinding("127.0.0.1", "10.0.0.1")
    (answer, _), (request, _) = called(resolve, "/a", "/b")
    assert answer.status_code == 200
    assert request.headers["host"].startswith("api.acme.example:")
    assert resolve.asked == 1  # the second call goes over the connection that was checked


def test_an_answer_that_changes_to_a_private_address_is_never_connected_to() -> None:
    resolve = Rebinding("127.0.0.1")
    with pytest.raises(StepFailed, match="allow_private_addresses"):
        called(resolve, "/", reach="public")
    assert resolve.asked == 1


def test_a_connection_to_a_private_address_is_not_lent_to_a_step_that_may_not_have_it() -> None:
    async def main() -> None:
        server = HttpServer(lambda _: Response(200))
        url = (await server.start()).replace("127.0.0.1", "api.acme.example")
        try:
            async with httpx.AsyncClient(transport=CheckedTransport(Rebinding("127.0.0.1"))) as client:
                await client.get(url, extensions={"reach": "private"})
                with pytest.raises(StepFailed):
                    await client.get(url, extensions={"reach": "public"})
        finally:
            await server.stop()

    asyncio.run(main())


def test_without_a_word_this_machine_is_reached_by_its_plain_names_only() -> None:
    assert called(Rebinding("127.0.0.1"), "/", reach="loopback", host="localhost")[0][0].status_code == 200
    with pytest.raises(StepFailed):
        called(Rebinding("127.0.0.1"), "/", reach="loopback", host="localhost.acme.example")
    with pytest.raises(StepFailed):
        called(Rebinding("10.0.0.7"), "/", reach="loopback", host="localhost")


@pytest.mark.parametrize(
    "spelling",
    ["2130706433", "0x7f.1", "127.1", "017700000001", "0x7f000001", "127.0.0.1.", "[::ffff:127.0.0.1]"],
)
def test_a_number_that_means_this_machine_is_seen_through(spelling: str) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(transport=CheckedTransport()) as client:
            await client.get(f"http://{spelling}:9/", extensions={"reach": "public"})

    with pytest.raises(StepFailed, match="private address"):
        asyncio.run(main())


@pytest.mark.parametrize("spelling", ["0x5d.0270.0327.016", "93.12113678"])
def test_a_public_address_has_one_spelling(spelling: str) -> None:
    async def main() -> None:
        async with StepClient() as client:
            await client.get(f"http://{spelling}:9/", extensions={"reach": "private"})

    with pytest.raises(StepFailed, match="address"):
        asyncio.run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_production_narrows_what_is_called_without_a_word(host: str) -> None:
    async def main() -> None:
        async with HttpClient("prod").client() as client:
            await client.get(f"http://{host}:9/")

    with pytest.raises(StepFailed, match=r"private address|inside a network"):
        asyncio.run(main())


async def unknown(host: str, port: int) -> list[str]:
    raise OSError("no such name")


@pytest.mark.parametrize(("resolve", "kind"), [(unknown, Transient), (Rebinding("127.0.0.1"), httpx.ConnectError)])
def test_a_name_without_address_and_a_dead_port_are_connection_errors(resolve: Any, kind: type[Exception]) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(transport=CheckedTransport(resolve)) as client:
            await client.get("http://api.acme.example:1/", extensions={"reach": "private"})

    with pytest.raises(kind):
        asyncio.run(main())


def test_the_next_address_is_tried_when_the_first_is_dead() -> None:
    async def both(host: str, port: int) -> list[str]:
        return ["127.0.0.2" if port else "", "127.0.0.1"]

    (answer,), _ = called(both, "/")
    assert answer.status_code == 200


def test_a_cut_answer_is_httpxs_own_error() -> None:
    async def main() -> None:
        server = HttpServer(lambda _: Response(200, b"{}", cut=True))
        url = await server.start()
        try:
            async with httpx.AsyncClient(transport=CheckedTransport()) as client:
                await client.get(url)
        finally:
            await server.stop()

    with pytest.raises(httpx.RemoteProtocolError):
        asyncio.run(main())
