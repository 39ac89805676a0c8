"""From a request to everything that its run will store: check all of it, store nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from convergence.config.checks.chains import check_chains
from convergence.config.files.notifications import with_notifications
from convergence.config.files.providers import load_providers
from convergence.config.loader import LoadedPipeline
from convergence.config.parameters.values import resolve_parameters
from convergence.config.resolve import ResolveRequest, resolve
from convergence.config.settings.environments import SHORT
from convergence.domain.plan import Plan
from convergence.domain.quota import Limits
from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.engine.requirements import check_credentials, check_steps
from convergence.engine.secret_parameters import SEALED, seal, split_secrets
from convergence.engine.services import Services, dataset_of
from convergence.errors import ConfigErrors
from convergence.tenants.api_urls import check_api_urls
from convergence.tenants.credential_selection import choose_credential
from convergence.tenants.orgs import Org, check_runnable

_PRODUCTION: Final = SHORT["production"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a caller asks for. `parameters` as given: text is read by the declared type."""

    org: str
    pipeline: str  # path or alias
    parameters: Mapping[str, Any] = field(default_factory=dict)
    credential_id: str = ""
    trigger: str = "manual"
    created_by: str = ""
    budget: Limits | None = None  # for runs without a key, which have their own; None: the org's limits
    idempotency_key: str | None = None
    fire_time: datetime | None = None  # a schedule's; dates are computed from it
    timezone: str = ""  # of that date; empty: the pipeline's schedule's
    queue: bool = False  # wait for room instead of being refused
    queued: Run | None = None  # the run that is about to be admitted; it keeps its id and its secrets


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that was found good: everything that will be stored."""

    run: Run
    plan: Plan
    org: Org
    limits: Limits
    per_minute: int | None  # new runs of this pipeline for the org


async def prepare(services: Services, request: RunRequest) -> Prepared:
    """Check org, pipeline, parameters, credential, templates and graph; store nothing.

    Raises:
        NotFound: org or pipeline.
        InvalidInput: a parameter, or the choice of a credential.
        ConfigErrors: the pipeline's file, or a step that cannot run.
        Denied: the org may not run.
    """
    org = await services.orgs.get(request.org)
    check_runnable(org)
    loaded = services.catalog.get(request.pipeline)
    check_addresses(services, request.parameters)
    now = services.clock.now()
    fire_time = now if request.fire_time is None else request.fire_time
    sealed = {} if request.queued is None else dict(request.queued.sealed)
    given = {**request.parameters, **dict.fromkeys(sealed, SEALED)}
    read = resolve_parameters(loaded, given, fire_time=fire_time, zone=request.timezone or None)
    parameters, secrets = split_secrets(loaded, read)
    run_id = _run_id(services, request, loaded) if request.queued is None else request.queued.run_id
    expected = request.credential_id or parameters.get("credential_id", "")
    named = str(parameters.get("credential_name") or "")
    credential_id = await choose_credential(services.credentials, org, loaded.pipeline, expected, named=named)
    asked = ResolveRequest(
        org_slug=org.slug,
        env=services.env,
        project_id=services.project_id,
        org_dataset=dataset_of(services, org.slug),
        run_id=run_id,
        credential_id=credential_id,
        parameters=parameters,
        profile=org.profile,
        fire_time=fire_time,
    )
    plan, credential_id = await runnable(services, loaded, asked, sealed=set(secrets))
    plan = notified(services, plan, loaded, org.profile)
    run = Run(
        run_id=run_id,
        org=org.slug,
        pipeline=loaded.path,
        pipeline_id=plan.pipeline_id,
        provider=plan.provider,
        domain=plan.domain,
        digest=loaded.digest,
        request_digest=_digest(loaded, request, secrets),
        trigger=request.trigger,
        created_by=request.created_by or request.trigger,
        created_at=now,
        deadline_at=now + timedelta(seconds=plan.timeout_s),
        check_at=now + timedelta(seconds=services.settings.check_every_s),
        credential_id=credential_id,
        parameters=parameters,
        sealed=sealed or await seal(services, org.slug, secrets),
        fire_time=request.fire_time,
        timezone=request.timezone,
        run_once=loaded.pipeline.execution.run_once,
    )
    token = services.ids.new("t")
    checked = run.advance(RunStatus.VALIDATING, at=now, reason=f"accepted ({request.trigger})", token=token)
    accepted = checked.advance(
        RunStatus.RUNNING, at=services.clock.now(), reason="parameters and plan are valid", token=token
    )
    per_minute = loaded.pipeline.rate_limit_per_minute
    return Prepared(accepted, plan, org, org.limits if request.budget is None else request.budget, per_minute)


async def runnable(
    services: Services, loaded: LoadedPipeline, asked: ResolveRequest, *, sealed: set[str]
) -> tuple[Plan, str]:
    """Return the plan whose steps can all run, and the run's credential: the one that its steps will open.

    A pipeline without its own provider (`provider: genai`) whose steps open one credential has this one.

    Raises:
        ConfigErrors: a step cannot run, or opens a credential that does not exist; or what `validate` finds in `then`.
        IntegrationInactive: a credential that a step opens is invalid.
    """
    plan = resolve(loaded, asked)
    unfollowable = check_chains(loaded, services.catalog.get)
    if unfollowable:
        raise ConfigErrors(unfollowable)
    openings = check_steps(services, loaded, plan, asked.parameters)
    judged = await services.statements(loaded)
    if judged.problems:
        raise ConfigErrors(judged.problems)
    found = await check_credentials(
        services.credentials, plan, openings, org=asked.org_slug, expected=asked.credential_id, sealed=sealed
    )
    used = {each.credential_id: each for each in found.values()}
    own = found.get(plan.provider) or (next(iter(used.values())) if len(used) == 1 else None)
    if own is None or asked.credential_id:
        return plan, asked.credential_id
    return resolve(loaded, replace(asked, credential_id=own.credential_id)), own.credential_id


def notified(services: Services, plan: Plan, loaded: LoadedPipeline, profile: Mapping[str, Any]) -> Plan:
    """Return the plan with the installation's or the org's notifications where the pipeline has none of its own."""
    chosen = loaded.pipeline.notifications
    channels = {
        "on_failure": tuple(dict.fromkeys((*chosen.on_failure, *chosen.on_completion))),
        "on_success": tuple(dict.fromkeys((*chosen.on_success, *chosen.on_completion))),
    }
    return with_notifications(plan, services.notifications(plan.core["org_slug"]), channels, profile)


def check_addresses(services: Services, given: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` when a caller's parameters name an address that production does not call for tenants."""
    if services.env == _PRODUCTION:
        check_api_urls(load_providers(services.configs_dir), given)


def _run_id(services: Services, request: RunRequest, loaded: LoadedPipeline) -> str:
    if request.idempotency_key is None:
        return services.ids.new("run")
    name = f"{request.org}\n{loaded.path}\n{request.idempotency_key}"  # a key may hold a slash
    return f"run_{hashlib.blake2b(name.encode(), digest_size=10).hexdigest()}"


def _digest(loaded: LoadedPipeline, request: RunRequest, secrets: Mapping[str, str]) -> str:
    """Hash the request, not its result: the default dates of the same request change at midnight.

    Of secrets only the names are hashed: a digest of a key is a hint about the key.
    """
    given = {name: str(value) for name, value in request.parameters.items() if name not in secrets}
    asked = [loaded.path, given, sorted(secrets), request.credential_id]
    return hashlib.blake2b(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
