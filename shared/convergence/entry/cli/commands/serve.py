"""`convergence serve`: the REST API, the worker and the reconciler in one process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from convergence.config.settings.deployment import Settings, read_settings
from convergence.domain.run import Run
from convergence.entry.cli import log_file
from convergence.entry.cli.options import SilentCommand
from convergence.entry.cli.session import Session
from convergence.errors import InvalidInput
from convergence.ports.bus import DEAD_LETTER, RUN_EVENTS

if TYPE_CHECKING:
    from convergence.entry.api.runtime import Runtime

Announce = Callable[["Runtime", int], None]
STEPS_S: Final = 25.0  # for steps, after requests; what is not done by then is resumed by the next start
YOUNG_MAX: Final = (
    10_000  # new objects before the collector looks: 2 looks in 4,000 runs of up to 4 ms; else 48 of up to 9
)


@click.command("serve", cls=SilentCommand)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port; 0 takes a free one (default 8001; PORT).")
@click.pass_obj
def command(session: Session, host: str, port: int | None) -> int:
    """Serve the REST API and run what is scheduled, until Ctrl-C or SIGTERM; runs that an earlier process left are
    finished too.

    The operator's key is the variable CONVERGENCE_ROOT_KEY; docs/api.md has all settings.

    \b
    Example:
      convergence serve --port 8001
    """
    session.check_configs()
    settings = read_settings()
    session.env, session.project_id = settings.env, settings.GCP_PROJECT_ID
    session.runs_max = settings.CONVERGENCE_RUNS_MAX
    listening = listen(host, settings.PORT if port is None else port)
    serve(session, settings, listening, lambda _, left: _say(session, settings, listening, left))
    return 0


def serve(session: Session, settings: Settings, listening: socket.socket, announce: Announce) -> None:
    """Serve on a socket until Ctrl-C or SIGTERM; `announce` is called with the runtime and the number of runs that an
    earlier process left, when requests are about to be taken."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(session, settings, listening, announce))


async def _serve(session: Session, settings: Settings, listening: socket.socket, announce: Announce) -> None:
    import uvicorn

    from convergence.entry.api.admission import admits_refused_head
    from convergence.entry.api.app import create_app
    from convergence.entry.api.http_server import http_config
    from convergence.entry.api.runtime import runtime

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # handled here, because the steps have to be waited for as well

    async with session.writing(f"serve {address_of(listening)}", schedules=True) as writer:
        await writer.look_at_warehouse()  # a damaged file is found here, not by every run
        log = session.installation.log_file(session.place)

        async def wait(org: str, run_id: str, seconds: float) -> Run:
            return await writer.worker.wait(org, run_id, timeout_s=seconds)

        def log_lines(run_id: str) -> Iterator[dict[str, Any]]:
            return log_file.read_run(log, run_id)

        at = runtime(writer.services, settings, wait=wait, log_lines=log_lines)
        writer.tap(RUN_EVENTS, at.metrics.moved)
        writer.tap(DEAD_LETTER, at.metrics.died)
        refused, most = partial(admits_refused_head, at), settings.CONNECTIONS_MAX
        server = Server(http_config(create_app(at), connections=most, admits_refused=refused))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
        left = await writer.worker.start()
        announce(at, left)
        _keep_what_is_loaded()
        await server.serve(sockets=[listening])
        if not await writer.worker.drain(STEPS_S):
            session.out.note("Some steps were still running; the next start continues with them.")
    gc.unfreeze()  # otherwise frozen objects are reported as leaked at exit, one line each
    gc.collect()
    session.out.note("Stopped.")


def _keep_what_is_loaded() -> None:
    """Exclude modules, routes and schemas from collections: a full one takes 50 ms, in which no request is served."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, *gc.get_threshold()[1:])


def _say(session: Session, settings: Settings, listening: socket.socket, left: int) -> None:
    address = address_of(listening)
    if session.out.json:
        pages = {"url": f"{address}/api/v1", "document": f"{address}/openapi.json", "pages": f"{address}/ui/"}
        session.out.data_line({**pages, "continues": left})
    else:
        session.out.line(f"serving  {address}/api/v1  (document: {address}/openapi.json)")
        session.out.line(f"look at  {address}/ui/")
    if left:
        session.out.note(f"continues {left} run{'s' * (left != 1)} of an earlier process")
    if settings.DISABLE_AUTH:
        session.out.note("authentication is switched off: every caller has the operator's rights")
    elif not settings.CONVERGENCE_ROOT_KEY.get_secret_value():
        session.out.note("CONVERGENCE_ROOT_KEY is not set: the operator's routes are disabled")


def address_of(listening: socket.socket) -> str:
    """Return the address that a browser on this machine opens."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises `InvalidInput` when the port is taken."""
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise InvalidInput(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from error


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster event loop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
