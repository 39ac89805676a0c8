"""Shipped pipelines as users run them: a real installation on a folder, the real engine, the sandbox over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

from convergence.bootstrap import Embedded, EmbeddedOptions, embedded
from convergence.domain.quota import Limits
from convergence.domain.run import Run
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.engine.views import runs as views
from convergence.ports.warehouse import Scope, Statement
from convergence.sandbox import ADMIN_KEY, Sandbox, anthropic, azure, deepseek, google
from convergence.sandbox.faults import Plan
from convergence.tenants.orgs import Org

CONFIGS: Final = Path(__file__).parents[3] / "configs"
ORG: Final = "acme"


class Here:
    """One org, one sandbox, and what may be done with them."""

    def __init__(self, installation: Embedded, sandbox: Sandbox, url: str) -> None:
        self.installation, self.sandbox, self.url = installation, sandbox, url

    async def run(self, pipeline: str, **parameters: Any) -> Run:
        """Run a pipeline to its end."""
        request = RunRequest(org=ORG, pipeline=pipeline, parameters=parameters)
        run = await dispatch(self.installation.services, request)
        return await self.installation.worker.wait(ORG, run.run_id)

    async def good(self, pipeline: str, **parameters: Any) -> Mapping[str, Any]:
        """Run a pipeline that must complete; return its results by step."""
        run = await self.run(pipeline, **parameters)
        assert run.status == "completed", (pipeline, run.error)
        return await views.results(self.installation.services, ORG, run.run_id)

    async def rows(self, sql: str) -> list[Mapping[str, Any]]:
        """Ask the org's dataset."""
        found = await self.installation.services.warehouse.query(
            Statement(sql, scope=Scope(dataset=f"{ORG}_dev"), rows_max=10**6)
        )
        return list(found.rows)

    async def set_up(self, *providers: str) -> None:
        """Store the sandbox's keys and load the seeds."""
        for provider in providers:
            asks = {"api_base_url": self.url} if provider in {"openai", "anthropic"} else {}
            await self.good(f"{provider}/auth/setup", api_key=self.key(provider), **asks)

    def key(self, provider: str) -> str:
        """Return the key that the sandbox knows."""
        known = {"openai": ADMIN_KEY, "anthropic": anthropic.ADMIN_KEY, "deepseek": deepseek.KEY}
        return known.get(provider) or (
            azure.CREDENTIAL if provider == "azure_openai" else google.service_account(self.url)
        )

    def asks(self, provider: str) -> dict[str, Any]:
        """Return the parameters that lead a pay-as-you-go pipeline to the sandbox."""
        export = {"billing_export_table": google.TABLE, "bigquery_url": f"{self.url}/bigquery/v2"}
        known: dict[str, dict[str, Any]] = {
            "gemini": export,
            "vertex": {**export, "vertex_project": google.PROJECT, "monitoring_url": self.url},
            "azure_openai": {
                "resource_id": azure.RESOURCE,
                "token_url": f"{self.url}/azure/token",
                "api_base_url": self.url,
            },
            "deepseek": {"api_base_url": self.url, "allow_private_addresses": True},
        }
        return known.get(provider, {"api_base_url": self.url})


@asynccontextmanager
async def installed(
    folder: Path, *, broken: Sequence[Plan] = (), faults: bool = False, configs: Path = CONFIGS
) -> AsyncIterator[Here]:
    """Open an installation with one org and a sandbox."""
    sandbox = Sandbox(faults=faults, broken=broken)
    url = await sandbox.start()
    try:
        async with embedded(EmbeddedOptions(data_dir=folder, configs_dir=configs), "test") as installation:
            limits = Limits(daily=1000, monthly=10_000, concurrent=10)
            now = installation.services.clock.now()
            org = Org(slug=ORG, name="Acme", status="ACTIVE", limits=limits, created_at=now)
            await installation.services.orgs.create(org)
            await installation.worker.start()
            yield Here(installation, sandbox, url)
    finally:
        await sandbox.stop()


def days(first: date, last: date) -> dict[str, str]:
    """Return the parameters of a range."""
    return {"start_date": first.isoformat(), "end_date": last.isoformat()}
