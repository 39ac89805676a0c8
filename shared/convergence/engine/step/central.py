"""Mirrors of an org's documents in the central tables, renewed before a run reads them; documents stay the truth."""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from convergence.domain.quota import Usage
from convergence.engine.services import Services, dataset_of
from convergence.engine.step.central_queue import execution_queue, scheduled_runs
from convergence.engine.store import usage_path
from convergence.errors import ConfigErrors, NotFound
from convergence.ports.warehouse import OWN_LOGS, SHARED_DATASET, WRITTEN_LOGS, Lineage, Load, Row
from convergence.tenants.api_keys import ApiKeyStore
from convergence.tenants.hierarchies import read_hierarchy

Rows = Callable[[Services, str], Awaitable[list[Row]]]


async def mirror(services: Services, org: str, texts: Iterable[str]) -> None:
    """Renew the org's rows of the central tables that one of the texts names; make the logs that they name."""
    text = "\n".join(texts)
    for name in OWN_LOGS:
        if name in text:
            await services.warehouse.ensure_table(dataset_of(services, org), services.schemas.get(name))
    for name in WRITTEN_LOGS:
        if name in text:
            log = services.schemas.get(name)
            assert log.written is not None, "it is one of WRITTEN_LOGS"
            await services.warehouse.ensure_table(SHARED_DATASET, log)
            await services.warehouse.ensure_table(dataset_of(services, org), log.written)
    for name, rows_of in MIRRORED.items():
        if name in text:
            await _replace(services, org, name, await rows_of(services, org))


async def _replace(services: Services, org: str, name: str, rows: list[Row]) -> None:
    job_id = services.ids.new("central")
    schema, warehouse = services.schemas.get(name), services.warehouse
    now = services.clock.now()
    lineage = Lineage(org_slug=org, pipeline_id="", credential_id="", run_id="", ingested_at=now)
    stage = warehouse.stage(SHARED_DATASET, schema, job_id)
    await stage.write(0, rows)
    load = Load(job_id=job_id, dataset=SHARED_DATASET, table=schema, lineage=lineage, dates=None)
    await warehouse.load(load, stage)


async def _profile(services: Services, org: str) -> list[Row]:
    found = await services.orgs.get(org)
    reported = {name: _text(found.profile, name) for name in ("currency", "timezone", "fiscal_year_start", "country")}
    return [
        {
            "org_slug": org,
            "name": found.name,
            "plan": found.plan,
            "status": found.status,
            **reported,
            "created_at": found.created_at,
            "updated_at": services.clock.now(),
        }
    ]


async def _subscription(services: Services, org: str) -> list[Row]:
    found = await services.orgs.get(org)
    limits = {f"{name}_limit": getattr(found.limits, name) for name in ("daily", "monthly", "concurrent")}
    today = services.clock.now().date()
    last = today.replace(day=monthrange(today.year, today.month)[1])
    period = {"period_start": today.replace(day=1), "period_end": last}
    return [{"org_slug": org, "plan": found.plan, "status": found.subscription, **limits, **period}]


async def _usage(services: Services, org: str) -> list[Row]:
    limits, now = (await services.orgs.get(org)).limits, services.clock.now()
    document = await services.documents.get(usage_path(org))
    usage = Usage.from_data(document.data) if document is not None else Usage(active={})
    return [
        {
            "org_slug": org,
            "usage_date": now.date(),
            "daily_limit": limits.daily,
            "daily_used": usage.day_count if usage.day == f"{now:%Y-%m-%d}" else 0,
            "monthly_limit": limits.monthly,
            "monthly_used": usage.month_count if usage.month == f"{now:%Y-%m}" else 0,
            "concurrent_limit": limits.concurrent,
            "concurrent_used": sum(until > now for until in usage.active.values()),
        }
    ]


async def _keys(services: Services, org: str) -> list[Row]:
    return [
        {
            "org_slug": org,
            "key_id": key.key_id,
            "name": key.name,
            "hash_prefix": key.digest[:8],
            "scopes": list(key.scopes),
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "revoked_at": key.revoked_at,
        }
        for key in await ApiKeyStore(services.documents, services.clock).all(org)
    ]


async def _credentials(services: Services, org: str) -> list[Row]:
    return [
        {
            "org_slug": org,
            "credential_id": each.credential_id,
            "provider": each.provider,
            "name": each.name,
            "status": each.status,
            "last_validated_at": each.checked_at or None,
        }
        for each in await services.credentials.all(org)
    ]


async def _kms_keys(services: Services, org: str) -> list[Row]:
    sealed = [each.ciphertext for each in await services.credentials.all(org)]
    versions = Counter(map(services.keyring.version, sealed))
    samples = {services.keyring.version(text): text for text in sealed}
    return [
        {
            "org_slug": org,
            "key_version": version,
            "credentials": count,
            "is_current": not await services.keyring.stale(samples[version]),
        }
        for version, count in sorted(versions.items())
    ]


async def _pipelines(services: Services, org: str) -> list[Row]:
    paused = (await services.orgs.get(org)).paused_pipelines
    return [
        {"org_slug": org, "pipeline": name, "paused_because": paused.get(name), **_described(services, name)}
        for name in services.catalog.names()
    ]


def _described(services: Services, name: str) -> Row:
    try:
        loaded = services.catalog.get(name)
    except (ConfigErrors, NotFound):
        return {"is_valid": False, "integration_required": []}
    pipeline, schedule = loaded.pipeline, loaded.pipeline.schedule
    planned = (
        {} if schedule is None else {"cron": schedule.cron, "timezone": schedule.timezone, "enabled": schedule.enabled}
    )
    return {
        "is_valid": True,
        "provider": pipeline.provider,
        "domain": pipeline.domain,
        "name": pipeline.name,
        "version": pipeline.version,
        "digest": loaded.digest,
        **{f"schedule_{key}": value for key, value in planned.items()},
        "integration_required": list(pipeline.integration_required),
    }


async def _levels(services: Services, org: str) -> list[Row]:
    found = await read_hierarchy(services.documents, org)
    return [{"org_slug": org, "level_number": number, "name": name} for number, name in enumerate(found.levels, 1)]


async def _nodes(services: Services, org: str) -> list[Row]:
    found = await read_hierarchy(services.documents, org)
    return [
        {
            "org_slug": org,
            "node_id": node.node_id,
            "name": node.name,
            "level": node.level,
            "level_number": found.depth(node),
            "parent_id": node.parent_id or None,
            "path": " / ".join(each.name for each in found.path_of(node)),
            "labels": [{"key": key, "value": value} for key, value in node.labels.items()],
        }
        for node in found.nodes
    ]


def _text(profile: Mapping[str, Any], name: str) -> str | None:
    value = profile.get(name)
    return None if value is None else str(value)


MIRRORED: Final[Mapping[str, Rows]] = {
    "org_api_keys": _keys,
    "org_hierarchy": _nodes,
    "org_hierarchy_levels": _levels,
    "org_integration_credentials": _credentials,
    "org_pipeline_execution_queue": execution_queue,
    "org_kms_keys": _kms_keys,
    "org_pipeline_configs": _pipelines,
    "org_profiles": _profile,
    "org_scheduled_pipeline_runs": scheduled_runs,
    "org_subscriptions": _subscription,
    "org_usage_quotas": _usage,
}
