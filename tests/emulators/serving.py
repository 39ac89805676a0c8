"""gRPC servers for the services of Google Cloud that have no emulator to install.

Google's packages ship messages and clients, no servers. The client's transport knows every method (path, kind,
request, response), so the method table is taken from it and cannot drift. Handlers get and return raw protobuf
messages (`Type.pb(...)`), which cost a fraction of the wrapped ones.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc

Handler = Callable[[Any, "grpc.ServicerContext"], Any]  # (request or iterator, context) -> response or iterator


class Method(NamedTuple):
    """One method as the client calls it: `kind` is `unary_unary`, `unary_stream`, …; the classes are protobuf's."""

    path: str
    kind: str
    request: Any
    response: Any

    @property
    def name(self) -> str:
        """The method's own name: `Commit`."""
        return self.path.rpartition("/")[2]


class Refused(Exception):
    """A handler's answer that is an error."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        self.code = code
        super().__init__(message)


class _Recorder:
    """Takes the place of a channel and notes what a transport asks of it."""

    def __init__(self) -> None:
        self.methods: dict[str, Method] = {}

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        def note(path: str, request_serializer: Any, response_deserializer: Any, **_: Any) -> Callable[..., None]:
            if response_deserializer is None:  # the generic operations of google.longrunning, which no test asks for
                return lambda *_, **__: None
            method = Method(path, kind, _message(request_serializer), _message(response_deserializer))
            self.methods[method.name] = method
            return lambda *_, **__: None

        return note


def _message(codec: Any) -> Any:
    """Return the protobuf class that a serializer or deserializer belongs to."""
    owner = getattr(codec, "__self__", None) or codec.__objclass__
    return owner.pb() if callable(getattr(owner, "pb", None)) else owner


def methods_of(transport: type[Any]) -> dict[str, Method]:
    """Return the methods of a synchronous `…GrpcTransport` by name."""
    recorder = _Recorder()
    channel = grpc.insecure_channel("localhost:1")  # never used
    made = transport(channel=channel)
    made._logged_channel = recorder  # noqa: SLF001 - the stubs sit behind it; a test watches these private names
    made._stubs.clear()  # noqa: SLF001 - as above
    for name in dir(transport):
        if isinstance(getattr(transport, name), property):
            getattr(made, name)
    channel.close()
    return recorder.methods


@dataclass
class Fault:
    """What goes wrong with the next `times` calls of `method` (`*`: of any)."""

    method: str
    code: grpc.StatusCode | None  # None: no answer at all until the caller gives up
    message: str
    times: float
    after: bool  # the work is done first: only the answer is lost


@dataclass
class Faults:
    """The faults that wait for their call."""

    waiting: list[Fault] = field(default_factory=list)

    def refuse(self, method: str = "*", times: float = 1, code: str = "UNAVAILABLE", message: str = "refused") -> None:
        """Refuse calls without doing anything."""
        self.waiting.append(Fault(method, grpc.StatusCode[code], message, times, after=False))

    def cut(self, method: str, times: float = 1, code: str = "UNAVAILABLE") -> None:
        """Do the work, then lose the answer."""
        self.waiting.append(Fault(method, grpc.StatusCode[code], "Socket closed", times, after=True))

    def hang(self, method: str, times: float = 1, *, after: bool = False) -> None:
        """Never answer; `after` doing the work, or instead of it."""
        self.waiting.append(Fault(method, None, "", times, after))

    def deny(self, permission: str, resource: str, times: float = 1) -> None:
        """Refuse calls as Google does where a role is missing."""
        refusal = f"Permission '{permission}' denied on resource '{resource}' (or it may not exist)."
        self.refuse("*", times, "PERMISSION_DENIED", refusal)

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self.waiting.clear()

    def next(self, method: str) -> Fault | None:
        """Return the fault of this call, if it has one."""
        for fault in self.waiting:
            if fault.method in {method, "*"} and fault.times > 0:
                fault.times -= 1
                return fault
        return None


class Server(grpc.GenericRpcHandler):  # type: ignore[misc] # gRPC ships no types
    """Serves `handlers`, by method name, on 127.0.0.1. What a handler does not know is UNIMPLEMENTED.

    `calls` counts RPCs by method; `counts` is for what the handlers bill: documents, messages.
    """

    def __init__(
        self, transport: type[Any] | tuple[type[Any], ...], handlers: Mapping[str, Handler], *, workers: int = 32
    ) -> None:
        """Serve a service, or several on one port, such as Pub/Sub's publisher and subscriber."""
        transports = transport if isinstance(transport, tuple) else (transport,)
        self.methods = {method.path: method for each in transports for method in methods_of(each).values()}
        unknown = set(handlers) - {method.name for method in self.methods.values()}
        assert not unknown, f"the service has no methods {sorted(unknown)}"
        self.calls: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.faults = Faults()
        self._handlers = dict(handlers)
        self._workers = workers
        self._server: grpc.Server | None = None
        self._gate = threading.Lock()
        self._stopping = threading.Event()

    def start(self, port: int = 0) -> str:
        """Serve in threads; return `host:port`."""
        options = [("grpc.max_receive_message_length", 32 * 2**20), ("grpc.so_reuseport", 0)]
        self._stopping.clear()
        self._server = grpc.server(ThreadPoolExecutor(self._workers), handlers=(self,), options=options)
        bound = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()
        return f"127.0.0.1:{bound}"

    def stop(self) -> None:
        """End all calls and free the port. What was stored stays: `start` goes on with it."""
        if self._server is not None:
            self._stopping.set()
            self._server.stop(None).wait(5)
            self._server = None

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a call (gRPC's interface)."""
        method = self.methods.get(handler_call_details.method)
        handler = None if method is None else self._handlers.get(method.name)
        if method is None or handler is None:
            return None
        streams = method.kind.endswith("_stream")
        make = getattr(grpc, f"{method.kind}_rpc_method_handler")
        return make(
            self._streamed(method.name, handler) if streams else self._answered(method.name, handler),
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )

    def _answered(self, name: str, handler: Handler) -> Handler:
        def answer(request: Any, context: Any) -> Any:
            fault = self._begin(name, context)
            try:
                response = handler(request, context)
            except Refused as refused:
                context.abort(refused.code, str(refused))
            self._end(fault, context)
            return response

        return answer

    def _streamed(self, name: str, handler: Callable[[Any, Any], Iterable[Any]]) -> Handler:
        def answers(request: Any, context: Any) -> Iterator[Any]:
            fault = self._begin(name, context)
            try:
                yield from handler(request, context)
            except Refused as refused:
                context.abort(refused.code, str(refused))
            self._end(fault, context)

        return answers

    def _begin(self, name: str, context: Any) -> Fault | None:
        with self._gate:
            self.calls[name] += 1
            fault = self.faults.next(name)
        if fault is not None and not fault.after:
            self._end(fault, context)
        return fault

    def _end(self, fault: Fault | None, context: Any) -> None:
        if fault is None:
            return
        if fault.code is not None:
            context.abort(fault.code, fault.message)
        over = threading.Event()
        context.add_callback(over.set)
        while not over.wait(0.02) and not self._stopping.is_set():  # a hang ends with its caller, or with the server
            pass
        context.abort(grpc.StatusCode.CANCELLED, "the client no longer waits")
