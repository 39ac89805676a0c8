"""One connection: what may come over it, how long it is waited for, and when it is used again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from convergence.adapters.http.client import StepClient
from convergence.sandbox.http import HttpServer, Response

WAITING = 256 * 1024
Work = Callable[[httpx.AsyncClient, str], Awaitable[Any]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Script:
    """A server that answers each request of a connection with the next bytes, then hangs up if told so."""

    def __init__(self, *answers: bytes, hangs_up: bool = False, silent: bool = False) -> None:
        self.answers, self.hangs_up, self.silent = answers, hangs_up, silent
        self.requests: list[bytes] = []
        self.connections = 0
        self.over = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            for answer in self.answers:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer)
                await writer.drain()
            if not self.hangs_up:
                await self.over.wait()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is done
        finally:
            writer.close()


def against(script: Callable[[], Script], work: Work) -> tuple[Any, Script]:
    async def main() -> tuple[Any, Script]:
        playing = script()
        async with await asyncio.start_server(playing.serve, "127.0.0.1", 0) as server, StepClient() as client:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/rows"
            try:
                return await work(client, url), playing
            finally:
                playing.over.set()

    return asyncio.run(main())


async def text(client: httpx.AsyncClient, url: str) -> str:
    return (await client.get(url)).text


async def twice(client: httpx.AsyncClient, url: str) -> list[str]:
    return [await text(client, url), await text(client, url)]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\nlater: 1\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK,
    ],
)
def test_chunks_and_announcements_are_one_answer_and_the_connection_goes_on(answer: bytes) -> None:
    got, script = against(lambda: Script(answer, OK), twice)
    assert (got, script.connections) == (["ok", "ok"], 1)


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    got, script = against(lambda: Script(b"HTTP/1.1 200 OK\r\n\r\nok", hangs_up=True), twice)
    assert (got, script.connections) == (["ok", "ok"], 2)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000,
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"",
    ],
)
def test_an_answer_that_is_cut_or_none_is_a_protocol_error(answer: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        against(lambda: Script(answer, hangs_up=True), text)


def test_headers_without_end_are_not_read_to_their_end() -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="more than 16384 bytes"):
        against(lambda: Script(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000), text)


def test_a_connection_that_the_answer_gives_up_is_not_used_again() -> None:
    answer = OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    got, script = against(lambda: Script(answer, OK), twice)
    assert (got, script.connections) == (["ok", "ok"], 2)


def test_an_answer_that_was_not_asked_for_is_never_taken_for_the_next_calls() -> None:
    got, script = against(lambda: Script(OK + OK.replace(b"ok", b"no"), OK), twice)
    assert (got, script.connections) == (["ok", "ok"], 2)


def test_the_answer_to_a_head_has_the_length_of_a_body_and_none() -> None:
    async def work(client: httpx.AsyncClient, url: str) -> httpx.Response:
        return await client.head(url)

    answer, _ = against(lambda: Script(OK.removesuffix(b"ok")), work)
    assert (answer.headers["content-length"], answer.content) == ("2", b"")


def test_an_answer_that_does_not_come_is_a_read_timeout() -> None:
    async def work(client: httpx.AsyncClient, url: str) -> None:
        await client.get(url, timeout=0.05)

    with pytest.raises(httpx.ReadTimeout):
        against(lambda: Script(b"HTTP/1.1 200 OK\r\n"), work)


@pytest.mark.parametrize("headers", [{"x": "1\r\nadmin: yes"}, {"x": "1\n"}, {"x": "\0"}, {"x y": "1"}, {"": "1"}])
def test_a_header_that_would_begin_another_is_not_sent(headers: dict[str, str]) -> None:
    async def work(client: httpx.AsyncClient, url: str) -> None:
        await client.get(url, headers=headers)

    with pytest.raises(httpx.LocalProtocolError):
        against(lambda: Script(OK), work)


def test_a_path_cannot_begin_another_line() -> None:
    async def work(client: httpx.AsyncClient, url: str) -> None:
        await client.get(httpx.URL(url + "/a b?c=d e"), params={"x": "1\r\nadmin: yes"})

    _, script = against(lambda: Script(OK), work)
    assert script.requests[0].startswith(b"GET /rows/a%20b?x=1%0D%0Aadmin:+yes HTTP/1.1\r\nhost: ")


@pytest.mark.parametrize("name", ["content-length", "transfer-encoding", "connection", "expect", "upgrade", "te"])
def test_a_caller_has_no_say_in_where_a_message_ends(name: str) -> None:
    async def work(client: httpx.AsyncClient, url: str) -> list[str]:
        odd = {name: {"content-length": "900", "connection": "close"}.get(name, "chunked"), "x-other": "kept"}
        return [(await client.get(url, headers=odd)).text, (await client.get(url)).text]

    got, script = against(lambda: Script(OK, OK), work)
    assert (got, script.connections) == (["ok", "ok"], 1)
    assert name.encode() not in script.requests[0].lower().replace(b"connection: keep-alive", b"")
    assert b"x-other: kept" in script.requests[0]


def test_bodies_of_known_and_unknown_length_are_sent() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b""
        yield b"c" * 100_000

    async def main() -> list[bytes]:
        got: list[bytes] = []
        server = HttpServer(lambda request: got.append(request.body) or Response(200))
        url = await server.start()
        try:
            async with StepClient() as client:
                await client.post(url, content=b"abc")
                await client.post(url, content=parts())
        finally:
            await server.stop()
        return got

    assert asyncio.run(main()) == [b"abc", b"ab" + b"c" * 100_000]


def test_an_unread_body_waits_at_the_sender() -> None:
    size = 64 * WAITING

    async def work(client: httpx.AsyncClient, url: str) -> tuple[int, int]:
        async with client.stream("GET", url) as answer:
            for _ in range(200):
                await asyncio.sleep(0)  # the sender would send all of it now
            sizes = [len(part) async for part in answer.aiter_raw()]
            return sizes[0], sum(sizes)

    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size
    (first, whole), _ = against(lambda: Script(answer), work)
    assert first < 4 * WAITING
    assert whole == size


def test_no_cookie_of_one_call_goes_with_the_next() -> None:
    answer = OK.replace(b"\r\n\r\n", b"\r\nset-cookie: who=acme\r\n\r\n")
    _, script = against(lambda: Script(answer, answer), twice)
    assert b"acme" not in script.requests[1]


def test_what_is_closed_before_its_end_is_not_used_again() -> None:
    size = 4 * WAITING

    async def work(client: httpx.AsyncClient, url: str) -> int:
        async with client.stream("GET", url):
            pass
        return len(await text(client, url))

    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size
    got, script = against(lambda: Script(answer, answer), work)
    assert got == size
    assert script.connections == 2


def test_bytes_that_come_between_two_calls_are_not_the_second_answer() -> None:
    async def main() -> tuple[list[str], int]:
        asked, connections = asyncio.Event(), 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            if connections == 1:
                await asked.wait()
                writer.write(OK.replace(b"ok", b"no"))
                await writer.drain()
            await reader.read()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, StepClient() as client:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/rows"
            first = await text(client, url)
            asked.set()
            for _ in range(50):
                await asyncio.sleep(0)  # what was sent arrives
            return [first, await text(client, url)], connections

    assert asyncio.run(main()) == (["ok", "ok"], 2)


ABANDONS = """
import asyncio
import subprocess
import sys
from convergence.adapters.http.client import StepClient
from convergence.sandbox.http import HttpServer, Response

async def main():
    global client
    server = HttpServer(lambda _: Response(200, b"[]"))
    client = StepClient()
    await client.get(await server.start())
    await server.stop()

asyncio.run(main())
"""


def test_a_function_that_ends_with_open_connections_says_nothing() -> None:
    ended = subprocess.run([sys.executable, "-c", ABANDONS], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stderr == ""
