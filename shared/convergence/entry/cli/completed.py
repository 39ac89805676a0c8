"""Values that a shell completes: orgs, pipelines, runs, providers, statuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from convergence.config.catalog import Catalog
from convergence.config.files.providers import load_providers
from convergence.domain.run import Run
from convergence.domain.status import RunStatus
from convergence.engine.services import Services
from convergence.entry.cli.session import Session
from convergence.ports.documents import Order

RUNS_MAX: Final = 50  # the latest ones


class Completed(click.types.StringParamType):
    """Text whose values are known here. A shell that asks gets no error: what cannot be read completes nothing."""

    def __init__(self, values: Callable[[Session], list[CompletionItem]]) -> None:
        self._values = values

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's signature
        """Return the values that begin with what is typed."""
        try:
            known = self._values(ctx.find_root().obj)
        except Exception:  # noqa: BLE001 - a key that was pressed must not print a traceback
            return []
        return [item for item in known if item.value.startswith(incomplete)]


def complete(parameters: list[click.Parameter]) -> None:
    """Let parameters with the names below complete their values."""
    for parameter in parameters:
        values = _KINDS.get(parameter.name or "")
        if values is not None and type(parameter.type) is click.types.StringParamType:
            parameter.type = Completed(values)


def _orgs(session: Session) -> list[CompletionItem]:
    with session.reading() as services:
        return [CompletionItem(slug) for slug in sorted(asyncio.run(services.orgs.slugs()))]


def _pipelines(session: Session) -> list[CompletionItem]:
    return [CompletionItem(name) for name in Catalog(session.configs_dir).names()]


def _providers(session: Session) -> list[CompletionItem]:
    return [CompletionItem(name) for name in sorted(load_providers(session.configs_dir).providers)]


def _statuses(_: Session) -> list[CompletionItem]:
    return [CompletionItem(status.value) for status in RunStatus]


def _runs(session: Session) -> list[CompletionItem]:
    with session.reading() as services:
        runs = asyncio.run(_latest(services))
    return [CompletionItem(run.run_id, help=f"{run.org} {run.pipeline} {run.status.value}") for run in runs]


async def _latest(services: Services) -> list[Run]:
    page = await services.documents.query("runs", order=[Order("created_at", descending=True)], limit=RUNS_MAX)
    return [Run.from_data(document.data) for document in page.documents]


_KINDS: Final[Mapping[str, Any]] = {
    "org": _orgs,
    "pipeline": _pipelines,
    "provider": _providers,
    "run_id": _runs,
    "expected": _statuses,
}
