"""Heads, trailers, slow senders and clients that do not read, over a real socket."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from convergence.entry.api.connections import most_connections
from convergence.entry.api.http_limits import HEAD_BYTES_MAX, HEADERS_MAX, BoundedHttp
from convergence.entry.api.http_server import http_config

ENOUGH_S = 60.0
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Hasty(BoundedHttp):
    """The same limits in less time."""

    head_s = 0.3
    body_s = 0.5
    unread_s = 0.5


class Recording:
    """An application that reads the body, answers 200, and keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.answered = asyncio.Event()
        self.answer = b"ok"
        self.reads = True
        self.began: asyncio.Queue[str] = asyncio.Queue()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", self.reads
        self.began.put_nowait(scope["method"])
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        await self.may_answer.wait()
        self.seen.append({"headers": list(scope["headers"]), "body": body})
        length = str(len(self.answer)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": self.answer})
        self.answered.set()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class World:
    """A server, its application, and connections to it."""

    def __init__(self, app: Recording, server: uvicorn.Server, port: int) -> None:
        self.app, self.server, self._port = app, server, port

    async def connect(self) -> Connection:
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def send(self, *pieces: bytes) -> bytes:
        """Send pieces on a new connection and return everything until the server closes it."""
        reader, writer = await self.connect()
        with suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        answer = await reader.read()
        writer.close()
        return answer


@asynccontextmanager
async def serving(
    protocol: type[BoundedHttp], connections: int = 100, admits_refused: Callable[[str], bool] = lambda _: True
) -> AsyncIterator[World]:
    app = Recording()
    config = http_config(app, connections=connections, admits_refused=admits_refused, protocol=protocol)
    config.port = 0
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield World(app, server, server.servers[0].sockets[0].getsockname()[1])
    finally:
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        for each in server.servers:
            each.close()


def run_scenario(
    scenario: Callable[[World], Awaitable[None]], protocol: type[BoundedHttp] = Hasty, **options: Any
) -> None:
    async def whole() -> None:
        async with asyncio.timeout(ENOUGH_S), serving(protocol, **options) as world:
            await scenario(world)

    asyncio.run(whole())


def reported(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head[9:12]), json.loads(body)["code"] if b"problem+json" in head else ""


def headers(size: int) -> Iterator[bytes]:
    """Header lines of `size` bytes together."""
    while size > 0:
        line = min(size, 4_000)
        yield b"a: " + b"x" * (line - 5) + b"\r\n"
        size -= line


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET /" + b"a" * 80_000, id="a target without end"),
        pytest.param(GET + b"a: " + b"x" * 80_000, id="a value without end"),
        pytest.param(GET + b"a" * 80_000, id="a name without end"),
        pytest.param(GET + b"".join(headers(80_000)), id="many long headers"),
        pytest.param(GET + b"a: b\r\n" * (HEADERS_MAX + 1), id="many short headers"),
        pytest.param(b"\r\n" * 40_000, id="line ends before a request"),
    ],
)
def test_a_head_without_end_is_refused_and_never_reaches_the_application(head: bytes) -> None:
    async def scenario(world: World) -> None:
        assert reported(await world.send(head)) == (431, "request.too_large")
        assert world.app.seen == []

    run_scenario(scenario, BoundedHttp)


def test_a_head_as_large_as_the_limits_is_served() -> None:
    async def scenario(world: World) -> None:
        closing = b"Connection: close\r\n\r\n"
        large = await world.send(GET + b"".join(headers(HEAD_BYTES_MAX - len(GET) - len(closing))) + closing)
        many = await world.send(GET + b"a: b\r\n" * (HEADERS_MAX - 2) + closing)
        assert (reported(large)[0], reported(many)[0]) == (200, 200)
        assert len(world.app.seen[1]["headers"]) == HEADERS_MAX

    run_scenario(scenario, BoundedHttp)


def test_a_head_without_an_end_is_cut_off() -> None:
    """However fast the machine is: a tenth of a second takes some hundred megabytes, not ten thousand."""

    async def scenario(world: World) -> None:
        _, writer = await world.connect()
        writer.write(GET + b"a: ")

        async def send() -> None:
            for _ in range(10_000):
                writer.write(b"x" * 1_000_000)
                await writer.drain()

        with pytest.raises(ConnectionError):
            await send()
        writer.close()

    class Brief(BoundedHttp):
        farewell_s = 0.1

    run_scenario(scenario, Brief)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param((b"",), id="nothing"),
        pytest.param((b"GET ",), id="a part of a head"),
        pytest.param((GET + b"a: b\r\n",), id="a head without its end"),
        pytest.param((b"\r\n",), id="a line end"),
        pytest.param((POST + b"Content-Length: 10\r\n\r\nabc",), id="a part of a body"),
        pytest.param((CHUNKED + b"3\r\nabc\r\n",), id="a part of chunks"),
        pytest.param((CHUNKED + b"0\r\nt: v\r\n",), id="a part of trailers"),
    ],
)
def test_a_request_that_does_not_come_whole_is_ended(pieces: tuple[bytes, ...]) -> None:
    async def scenario(world: World) -> None:
        assert reported(await world.send(*pieces)) == (408, "request.timeout")
        assert world.app.seen == [] or world.app.seen[0]["body"] in (b"abc", b"")

    run_scenario(scenario)


def test_slow_bytes_do_not_prolong_a_head() -> None:
    async def scenario(world: World) -> None:
        reader, writer = await world.connect()

        async def trickle() -> None:
            while True:
                writer.write(b"a: b\r\n")
                await asyncio.sleep(0.02)

        writer.write(GET)
        sender = asyncio.create_task(trickle())
        answer = await reader.readuntil(b"\r\n\r\n")
        sender.cancel()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 408 ")

    run_scenario(scenario)


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"0\r\n" + b"t: " + b"x" * 80_000, id="a trailer without end"),
        pytest.param(b"0\r\n" + b"".join(headers(80_000)), id="many long trailers"),
        pytest.param(b"0\r\n" + b"t: v\r\n" * HEADERS_MAX, id="many short trailers"),
        pytest.param(b"3;" + b"e" * 80_000, id="a chunk extension without end"),
    ],
)
def test_trailers_and_chunk_extensions_are_bounded(rest: bytes) -> None:
    async def scenario(world: World) -> None:
        assert reported(await world.send(CHUNKED + b"3\r\nabc\r\n" + rest)) == (431, "request.too_large")

    run_scenario(scenario, BoundedHttp)


def test_a_trailer_never_becomes_a_header() -> None:
    async def scenario(world: World) -> None:
        reader, writer = await world.connect()
        writer.write(CHUNKED + b"3\r\nabc\r\n0\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n")
        await reader.readuntil(b"ok")
        writer.close()
        (seen,) = world.app.seen
        assert (seen["body"], b"x-forwarded-for" in dict(seen["headers"])) == (b"abc", False)

    run_scenario(scenario)


def test_many_small_chunks_and_pipelined_requests_are_served() -> None:
    async def scenario(world: World) -> None:
        chunks = b"1;q=1\r\nx\r\n" * 50_000
        answer = await world.send(CHUNKED + chunks + b"0\r\n\r\n", GET + b"\r\n", GET + b"Connection: close\r\n\r\n")
        assert answer.count(b"HTTP/1.1 200") == 3
        assert [len(seen["body"]) for seen in world.app.seen] == [50_000, 0, 0]

    run_scenario(scenario, BoundedHttp)


def test_an_unread_body_does_not_keep_its_connection() -> None:
    async def scenario(world: World) -> None:
        world.app.reads = False
        reader, writer = await world.connect()

        async def flood() -> None:
            writer.write(CHUNKED)
            while True:
                writer.write(b"3e8\r\n" + b"x" * 1_000 + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

        sender = asyncio.create_task(flood())
        answer = await reader.read()
        assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"408"]
        with pytest.raises(ConnectionError):
            await sender
        writer.close()

    run_scenario(scenario)


class Leaving(Hasty):
    """Tells when a connection has gone."""

    gone: asyncio.Event

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.gone.set()


def test_a_client_that_does_not_read_is_let_go() -> None:
    async def scenario(world: World) -> None:
        Leaving.gone = asyncio.Event()
        world.app.answer = b"x" * 50_000_000
        _, writer = await world.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's has it
        writer.write(GET + b"\r\n")
        await world.app.answered.wait()
        await Leaving.gone.wait()
        writer.close()

    run_scenario(scenario, Leaving)


def test_an_idle_connection_lives_by_the_keep_alive_limit_alone() -> None:
    async def scenario(world: World) -> None:
        reader, writer = await world.connect()
        for _ in range(2):
            writer.write(GET + b"\r\n")
            assert await reader.readuntil(b"ok")
            (connection,) = world.server.server_state.connections
            assert isinstance(connection, BoundedHttp)
            assert (connection.timed, connection.timeout_keep_alive_task is not None) == (False, True)
        writer.close()

    run_scenario(scenario)


def test_an_idle_connection_gives_way_to_a_new_one() -> None:
    async def scenario(world: World) -> None:
        idle = [await world.connect() for _ in range(4)]
        kept = idle[-1]
        kept[1].write(GET + b"\r\n")
        assert await kept[0].readuntil(b"ok")
        answer = await world.send(GET + b"Connection: close\r\n\r\n")
        assert reported(answer)[0] == 200
        assert await idle[0][0].read() == b""  # the oldest
        kept[1].write(GET + b"\r\n")
        assert await kept[0].readuntil(b"ok")
        assert len(world.server.server_state.connections) <= 4
        for _, writer in idle:
            writer.close()

    run_scenario(scenario, BoundedHttp, connections=4)


def test_a_body_on_its_way_gives_way_and_a_request_at_work_does_not() -> None:
    async def scenario(world: World) -> None:
        world.app.may_answer.clear()
        working, sending = await world.connect(), await world.connect()
        working[1].write(GET + b"\r\n")
        assert await world.app.began.get() == "GET"
        sending[1].write(POST + b"Content-Length: 10\r\n\r\nabc")
        assert await world.app.began.get() == "POST"
        third = await world.connect()
        third[1].write(GET + b"\r\n")
        with suppress(ConnectionError):
            assert await sending[0].read() == b""
        assert await world.app.began.get() == "GET"
        refused = await world.send()
        assert reported(refused) == (503, "transient")
        world.app.may_answer.set()
        assert await working[0].readuntil(b"ok")
        assert await third[0].readuntil(b"ok")
        for _, writer in (working, sending, third):
            writer.close()

    run_scenario(scenario, BoundedHttp, connections=2)


def test_connections_take_at_most_half_of_the_descriptors() -> None:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert (most_connections(10**9), most_connections(3)) == (soft // 2, 3)


def test_refused_heads_are_counted_and_above_the_limit_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    counted: list[str] = []

    def admits(address: str) -> bool:
        counted.append(address)
        return len(counted) <= 2

    async def scenario(world: World) -> None:
        bad = (b"no request\r\n\r\n", GET + b"".join(headers(80_000)), b"GET /\x00 HTTP/1.1\r\n\r\n")
        answers = []
        for head in bad:
            try:
                answers.append(await world.send(head))
            except ConnectionError:
                answers.append(b"")
        assert [answer[9:12] for answer in answers] == [b"400", b"431", b""]
        assert counted == ["127.0.0.1"] * 3
        await world.send(GET + b"Connection: close\r\n\r\n")
        _, writer = await world.connect()
        writer.close()
        assert len(counted) == 3  # the application counts what it sees

    run_scenario(scenario, BoundedHttp, admits_refused=admits)
    assert caplog.records == []
