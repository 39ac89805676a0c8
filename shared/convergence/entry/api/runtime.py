"""The services and settings that every route works with, created once at start-up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Request

from convergence.config.loader import LoadedPipeline
from convergence.config.settings.deployment import Settings
from convergence.domain.rate import Buckets, Taken
from convergence.domain.run import Run
from convergence.engine.services import Services
from convergence.entry.api.fresh import Fresh, Load, find_load, find_pipelines, find_trouble
from convergence.entry.api.metrics import Metrics
from convergence.entry.api.sessions import Session, Sessions
from convergence.entry.api.streams import Streams
from convergence.tenants.api_keys import ApiKeyStore

SIGN_INS_PER_MINUTE: Final = 10
Wait = Callable[[str, str, float], Awaitable[Run]]  # org, run id, seconds → the run, ended or not
LogLines = Callable[[str], Iterable[dict[str, Any]]]  # run id → what was logged


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Services and settings, and what a process keeps between requests."""

    services: Services
    settings: Settings
    keys: ApiKeyStore
    wait: Wait
    log_lines: LogLines
    callers: Buckets
    all_callers: Buckets  # of one kind together
    streams: Streams
    sessions: Sessions
    signing_in: Buckets  # attempts to sign in, by address
    trouble: Fresh[str | None]
    pipelines: Fresh[list[LoadedPipeline]]
    load: Fresh[Load]
    metrics: Metrics = field(default_factory=Metrics)


def runtime(services: Services, settings: Settings, *, wait: Wait, log_lines: LogLines) -> Runtime:
    """Return a runtime; keys are never stored in plain text, and encrypted copies are kept outside production only."""
    keyring = None if settings.production else services.keyring
    return Runtime(
        services=services,
        settings=settings,
        keys=ApiKeyStore(services.documents, services.clock, keyring=keyring),
        wait=wait,
        log_lines=log_lines,
        callers=Buckets(settings.RATE_LIMIT_REQUESTS_PER_MINUTE),
        all_callers=Buckets(settings.RATE_LIMIT_GLOBAL_REQUESTS_PER_MINUTE),
        trouble=Fresh(partial(find_trouble, services)),
        pipelines=Fresh(partial(find_pipelines, services.catalog)),
        load=Fresh(partial(find_load, services)),
        sessions=Sessions(settings.CONVERGENCE_ROOT_KEY.get_secret_value()),
        signing_in=Buckets(SIGN_INS_PER_MINUTE),
        streams=Streams(most=settings.EVENT_STREAMS_MAX, most_per_org=settings.EVENT_STREAMS_PER_ORG),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is calling: the operator (`root`), a key of an org, or a client without a key (`anonymous`)."""

    kind: Literal["root", "org", "anonymous"]
    org: str = ""
    key_id: str = ""
    scopes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return what is recorded with what the caller starts: the key's id, else the kind."""
        return self.key_id or self.kind

    def may(self, org: str, scope: str) -> bool:
        """True when the caller may do what needs `scope` in `org`."""
        return self.kind == "root" or (self.org == org and (scope in self.scopes or "admin" in self.scopes))


@dataclass(slots=True)
class RequestState:
    """The state of one request, filled in as it is processed."""

    request_id: str
    client: str
    caller: Caller | None = None
    session: Session | None = None  # of a browser that signed in
    taken: Taken | None = None
    code: str = ""  # of the problem that it was answered with


def runtime_of(request: Request) -> Runtime:
    """Return the application's runtime."""
    found: Runtime = request.app.state.runtime
    return found


async def _runtime(request: Request) -> Runtime:
    return runtime_of(request)


def request_state(request: Request) -> RequestState:
    """Return the request's state, which the middleware created."""
    found: RequestState = request.scope["state"]["convergence"]
    return found


At = Annotated[Runtime, Depends(_runtime)]
