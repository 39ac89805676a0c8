"""The deployed functions: the topics that each one handles, and the parts that it is built from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from convergence.config.files.functions import FunctionFile, read_function
from convergence.engine.services import Services
from convergence.engine.topic_handlers import handlers
from convergence.entry.push.app import Check, Push, create_push
from convergence.entry.push.concurrency_limit import ConcurrencyLimit
from convergence.entry.push.deliveries import Subscribed
from convergence.entry.push.function import Function, Parts
from convergence.entry.push.log_events import LogEvents
from convergence.ports.bus import AUDIT_EVENTS, RUN_EVENTS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from convergence.config.settings.functions import FunctionSettings

_HINT_AGE_MAX_S: Final = 86_400.0  # by then the reconciler has repeated older hints
_ANSWER_S: Final = 5.0  # of the function's time limit, left for the answer


def function(folder: Path) -> Function:
    """Return the function whose `function.yaml` is in `folder`; nothing is read before its first request."""
    return Function(lambda: _deployed(folder))


def _deployed(folder: Path) -> Parts:
    from convergence.adapters.gcp.log import to_stdout
    from convergence.bootstrap.google_cloud import google_cloud
    from convergence.config.settings.deployment import read_as
    from convergence.config.settings.functions import FunctionSettings, PushSettings

    file = read_function(folder, deployed=True)
    settings = read_as(FunctionSettings if file.http == "public" else PushSettings)
    to_stdout(project=settings.GCP_PROJECT_ID, service=settings.K_SERVICE, version=settings.K_REVISION)
    services = cache(lambda: google_cloud(settings))
    return parts(file, settings, services, check=_check(settings))


def parts(
    file: FunctionFile, settings: FunctionSettings, services: Callable[[], Services], *, check: Check | None
) -> Parts:
    """Return the parts of a function over any services; these are created when the first request needs them."""
    concurrency = ConcurrencyLimit(file.concurrency)
    topics = frozenset(trigger.topic for trigger in file.triggers)
    subscriptions = cache(lambda: _subscriptions(topics, services()))
    push = Push(
        topics=topics,
        services=services,
        subscribed=lambda topic: subscriptions()[topic],
        check=check,
        concurrency=concurrency,
        limit_s=file.timeout_s - _ANSWER_S,
    )

    async def warm() -> None:
        await services().documents.get("orgs/readiness")

    api = _lazily(lambda: _api(settings, services())) if file.http == "public" else None
    return Parts(concurrency=concurrency, push=create_push(push), api=api, warm=warm)


def _subscriptions(topics: frozenset[str], services: Services) -> Mapping[str, Subscribed]:
    log = LogEvents(services)
    known = {topic: Subscribed(handler, _HINT_AGE_MAX_S) for topic, handler in handlers(services).items()}
    known |= {topic: Subscribed(log, None) for topic in (RUN_EVENTS, AUDIT_EVENTS)}
    return {topic: known[topic] for topic in topics}


def _check(settings: FunctionSettings) -> Check | None:
    """Return what verifies tokens; None without signing, which the settings allow only in development."""
    if not (settings.CONVERGENCE_PUSH_AUDIENCE and settings.CONVERGENCE_PUSH_SERVICE_ACCOUNT):
        return None
    from convergence.adapters.gcp.identity import CERTIFICATES_URL, PushIdentity, fetch_from
    from convergence.adapters.local.clock import SystemClock

    identity = PushIdentity(
        audience=settings.CONVERGENCE_PUSH_AUDIENCE,
        service_account=settings.CONVERGENCE_PUSH_SERVICE_ACCOUNT,
        fetch=fetch_from(settings.CONVERGENCE_CERTIFICATES_URL or CERTIFICATES_URL),
        clock=SystemClock(),
    )
    return identity.check


def _api(settings: FunctionSettings, services: Services) -> ASGIApp:
    from convergence.engine.await_run import await_run
    from convergence.entry.api.app import create_app
    from convergence.entry.api.runtime import runtime

    # What steps logged is in Cloud Logging; the run's transitions come from its documents.
    return create_app(runtime(services, settings, wait=partial(await_run, services), log_lines=lambda _: ()))


def _lazily(make: Callable[[], ASGIApp]) -> ASGIApp:
    """Return an application that is created at its first request."""
    made = cache(make)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await made()(scope, receive, send)

    return app
