"""Pause and resume a pipeline of an org: while it is paused, its runs wait in the queue, and those under way go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from convergence.domain.queue import pause_of, queue_path
from convergence.domain.quota import Usage
from convergence.engine.queue.enqueue import RELEASED_MAX, release_held
from convergence.engine.queue.waiting import ensure_queue
from convergence.engine.services import Services
from convergence.engine.store import anonymous_usage_path, usage_path
from convergence.errors import Conflict, InvalidInput
from convergence.ports.documents import Create, Patch
from convergence.tenants.orgs import Org

REASON_MAX: Final = 200
_RELEASES_MAX: Final = 1_000  # the rest is taken up when it is next checked


async def pause_pipeline(services: Services, slug: str, pipeline: str, reason: str = "") -> Org:
    """Stop the runs of an org's pipeline from starting; a second call changes the reason.

    The org's queue and its usage are written in the same commit, so that an admission or a start under way fails: after
    the call returns, none starts.

    Raises:
        NotFound: the org, or the pipeline.
        ConfigErrors: the pipeline's file.
        InvalidInput: the reason is too long.
    """
    if len(reason) > REASON_MAX:
        raise InvalidInput(
            f"the reason for a pause may have at most {REASON_MAX} characters, this one has {len(reason)}"
        )
    path = services.catalog.get(pipeline).path
    await services.orgs.get(slug)
    await ensure_queue(services, slug)

    def paused(org: Org) -> Org:
        return replace(org, paused_pipelines={**org.paused_pipelines, path: reason})

    return await _change(services, slug, paused, _usage_writes(slug, path, reason))


async def resume_pipeline(services: Services, slug: str, pipeline: str) -> Org:
    """End a pause: the runs that waited for it take their places in the queue.

    Raises `NotFound`, and `InvalidInput` when the pipeline is not paused.
    """
    path = "/".join(filter(None, pipeline.split("/")))
    if path not in (await services.orgs.get(slug)).paused_pipelines:
        raise InvalidInput(f"{path[:200]} is not paused for {slug}")

    def resumed(org: Org) -> Org:
        return replace(
            org, paused_pipelines={name: reason for name, reason in org.paused_pipelines.items() if name != path}
        )

    org = await _change(services, slug, resumed, _usage_writes(slug, path, None))
    for _ in range(_RELEASES_MAX):
        if await release_held(services, pause_of(slug, path)) < RELEASED_MAX:
            break
    return org


async def _change(services: Services, slug: str, edit: Callable[[Org], Org], usage: Sequence[Patch]) -> Org:
    token = services.ids.new("t")
    await _ensure_usage(services, slug)
    fence = Patch(queue_path(slug), {("token",): token})  # an admission that has read the queue fails
    return await services.orgs.change(slug, edit, token=token, also=[fence, *usage])


def _usage_writes(slug: str, path: str, reason: str | None) -> list[Patch]:
    """Return the writes by which starts learn of a pause or, reason None, of its end."""
    field = ("paused", path)
    if reason is None:
        return [Patch(each, unset=(field,)) for each in _usage_paths(slug)]
    return [Patch(each, {field: reason}) for each in _usage_paths(slug)]


async def _ensure_usage(services: Services, slug: str) -> None:
    """Create the quota documents of an org that has had no run. None is ever removed."""
    paths = _usage_paths(slug)
    documents = await services.documents.get_many(paths)
    for path, document in zip(paths, documents, strict=True):
        if document is None:
            with suppress(Conflict):  # its first run was created meanwhile
                await services.documents.commit([Create(path, Usage(active={}).to_data())])


def _usage_paths(slug: str) -> list[str]:
    return [usage_path(slug), anonymous_usage_path(slug)]
