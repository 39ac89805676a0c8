"""Runs, steps, plans, dead letters and quotas as documents. Only this file knows their paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from convergence.domain.plan import Plan, PlanStep
from convergence.domain.quota import Usage
from convergence.domain.run import NO_PLAN, Run
from convergence.domain.step import Step
from convergence.domain.times import to_text
from convergence.engine.services import Services
from convergence.errors import Conflict, NotFound, Transient
from convergence.ports.documents import Create, Documents, Patch, Replace, Write

DEAD_LETTERS: Final = "dead_letters"
ANONYMOUS: Final = "anonymous"  # trigger of a run that a caller without a key requested


class StoredRun(NamedTuple):
    """A run and the version it was read at."""

    run: Run
    version: int


class StoredStep(NamedTuple):
    """A step and the version it was read at; version 0 means that there is no document yet."""

    step: Step
    version: int


def record_id(planned: PlanStep, epoch: int) -> str:
    """Return the id of a step's document. End steps run once per epoch, so their id names it."""
    return planned.step_id if planned.trigger is None else f"{planned.step_id}~{epoch}"


def step_path(run: Run, record: str) -> str:
    """Return a step document's path."""
    return f"{run.path}/steps/{record}"


def usage_path(org: str) -> str:
    """Return the path of an org's quota document."""
    return f"orgs/{org}/usage/current"


def anonymous_usage_path(org: str) -> str:
    """Return the path of the quota document for an org's runs without a key."""
    return f"orgs/{org}/usage/anonymous"


def budget_path(run: Run) -> str:
    """Return the path of the quota document for a run: runs without a key have a separate one."""
    return anonymous_usage_path(run.org) if run.trigger == ANONYMOUS else usage_path(run.org)


def rate_path(run: Run) -> str:
    """Return the path of the token bucket that an org has for a pipeline with a `rate_limit_per_minute`."""
    return f"orgs/{run.org}/usage/rate.{run.pipeline.replace('/', '.')}"


def once_path(run: Run) -> str:
    """Return the path of the mark that a `run_once` pipeline leaves."""
    return f"once/{run.org}.{run.pipeline.replace('/', '.')}"


async def read_run(services: Services, run_id: str) -> StoredRun | None:
    """Return the run, or None."""
    document = await services.documents.get(f"runs/{run_id}")
    return None if document is None else StoredRun(services.cache.runs.of(document), document.version)


async def require_run(services: Services, org: str, run_id: str) -> StoredRun:
    """Return a run of `org`. Raises `NotFound` also for another org's run, so as not to reveal that it exists."""
    stored = await read_run(services, run_id)
    if stored is None or stored.run.org != org:
        raise NotFound(f"{org} has no run {run_id!r}. List its runs with: convergence history {org}")
    return stored


async def write_run(services: Services, run: Run, version: int, *extra: Write) -> StoredRun:
    """Commit a run, read at `version` (0: it is new), and whatever belongs in the same commit.

    Raises:
        Conflict: another writer changed the run.
    """
    writes = [write(run.path, version, run.to_data()), *extra]
    versions = await commit(services.documents, writes, run.token)
    services.cache.runs.keep(run.path, versions[0], run)
    return StoredRun(run, versions[0])


async def read_steps(services: Services, run: Run, records: Sequence[str]) -> list[StoredStep | None]:
    """Return the steps' documents as of one moment."""
    documents = await services.documents.get_many([step_path(run, record) for record in records])
    return [
        None if document is None else StoredStep(services.cache.steps.of(document), document.version)
        for document in documents
    ]


async def read_all_steps(services: Services, run: Run) -> dict[str, StoredStep]:
    """Return every step document of a run by its record id."""
    found: dict[str, StoredStep] = {}
    cursor: str | None = None
    while True:
        page = await services.documents.query(f"{run.path}/steps", limit=500, cursor=cursor)
        for document in page.documents:
            found[document.path.rpartition("/")[2]] = StoredStep(Step.from_data(document.data), document.version)
        if page.cursor is None:
            return found
        cursor = page.cursor


async def read_plan(services: Services, run: Run) -> Plan:
    """Return the pinned plan; one read per process and run. A run that was never admitted has one without steps."""
    if run.plan_epoch == NO_PLAN:
        return Plan(run.pipeline, run.pipeline_id, run.digest, run.provider, "", 0.0, ())
    plan = services.cache.plan(run.run_id, run.plan_epoch)
    if plan is None:
        document = await services.documents.get(plan_path(run))
        assert document is not None, f"run {run.run_id} has no plan {run.plan_epoch}"
        plan = Plan.from_data(document.data)
        services.cache.remember(run.run_id, run.plan_epoch, plan)
    return plan


def plan_path(run: Run) -> str:
    """Return the path of the plan in force."""
    return f"{run.path}/plan/{run.plan_epoch}"


async def read_usage(services: Services, path: str) -> tuple[Usage, int]:
    """Return the quota use at `path` and its version (0: none yet)."""
    document = await services.documents.get(path)
    return (Usage(active={}), 0) if document is None else (Usage.from_data(document.data), document.version)


def write(path: str, version: int, data: dict[str, Any]) -> Create | Replace:
    """Return the write that fits what was read: version 0 means absent."""
    return Create(path, data) if version == 0 else Replace(path, version, data)


def release_writes(run: Run) -> list[Write]:
    """Return the writes that give back a run's reservation and its places in caps; harmless when they are gone."""
    if run.queue is not None:
        return []
    caps = [Patch(path, unset=(("held", run.run_id),)) for path in run.caps]
    return [Patch(budget_path(run), unset=(("active", run.run_id),)), *caps]


def dead_letter_write(
    run: Run, step_id: str, ps_type: str, error: Mapping[str, Any], attempts: int, at: datetime
) -> Create:
    """Build the write of a dead letter: one for each final failure of a step in an epoch."""
    data = {
        "org": run.org,
        "run_id": run.run_id,
        "step_id": step_id,
        "ps_type": ps_type,
        "epoch": run.epoch,
        "pipeline": run.pipeline,
        "parameters": run.parameters,
        "error": error,
        "attempts": attempts,
        "created_at": to_text(at),
    }
    return Create(f"{DEAD_LETTERS}/{run.run_id}.{step_id}.{run.epoch}", data)


async def commit(documents: Documents, writes: Sequence[Write], token: str) -> list[int]:
    """Commit; after a conflict or a lost answer, recognise our own write by its `token`.

    The first write carries the token. A commit whose answer was lost may have been applied; a read is the only way to
    know (design: docs/engine.md §2).

    Raises:
        Conflict: another writer committed first.
        Transient: not applied as far as can be seen.
    """
    try:
        return await documents.commit(writes)
    except (Conflict, Transient):
        stored = await documents.get_many([write.path for write in writes])
        first = stored[0]
        if first is None or first.data.get("token") != token:
            raise
        return [0 if document is None else document.version for document in stored]
