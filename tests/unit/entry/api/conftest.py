"""The API in this process over a real installation: no socket, everything else as served."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from convergence.adapters.local.bus import LocalBus
from convergence.bootstrap import Embedded, EmbeddedOptions, embedded
from convergence.config.settings.deployment import Settings
from convergence.entry.api.app import create_app
from convergence.entry.api.runtime import Runtime, runtime
from convergence.ports.bus import AUDIT_EVENTS

CONFIGS = Path(__file__).parents[4] / "configs"
ROOT_KEY = "root-key-of-the-tests-with-more-than-32-characters"
ROOT = {"X-CA-Root-Key": ROOT_KEY}

PIPELINES = {
    "shop/cost/daily": """
pipeline_id: "{org_slug}-shop-cost-daily"
provider: shop
parameters:
  note: {type: string, default: none}
steps:
  - {step_id: look, ps_type: generic.noop, config: {said: "{note}"}}
  - {step_id: look_again, ps_type: generic.noop, depends_on: [look]}
""",
    "shop/broken": """
pipeline_id: "{org_slug}-shop-broken"
provider: shop
parameters:
  file: {type: string, default: openai/seed/missing.csv}
steps:
  - step_id: load_plans
    ps_type: openai.seed_csv
    source: {file: "{file}"}
    destination: {table: openai_subscription_plans}
""",
    "shop/tolerant": """
pipeline_id: "{org_slug}-shop-tolerant"
provider: shop
steps:
  - step_id: load_plans
    ps_type: openai.seed_csv
    on_failure: continue
    source: {file: openai/seed/missing.csv}
    destination: {table: openai_subscription_plans}
""",
    "shop/open": """
pipeline_id: "{org_slug}-shop-open"
provider: shop
requires_auth: false
steps: [{step_id: look, ps_type: generic.noop}]
""",
    "shop/seldom": """
pipeline_id: "{org_slug}-shop-seldom"
provider: shop
rate_limit_per_minute: 2
steps: [{step_id: look, ps_type: generic.noop}]
""",
    "shop/operator": """
pipeline_id: "{org_slug}-shop-operator"
provider: shop
auth_type: admin_key
steps: [{step_id: look, ps_type: generic.noop}]
""",
    "shop/operator_broken": """
pipeline_id: "{org_slug}-shop-operator-broken"
provider: shop
auth_type: admin_key
steps:
  - step_id: load_plans
    ps_type: openai.seed_csv
    source: {file: openai/seed/missing.csv}
    destination: {table: openai_subscription_plans}
""",
    "shop/needs_key": """
pipeline_id: "{org_slug}-shop-needs-key"
provider: openai
integration_required: [openai]
steps: [{step_id: look, ps_type: generic.noop}]
""",
    "cloud/gcp/cost/billing": """
pipeline_id: "{org_slug}-cloud-gcp-cost-billing"
provider: cloud
steps: [{step_id: look, ps_type: generic.noop}]
""",
}


@dataclass
class Api:
    """A client, and the installation behind it."""

    client: httpx.AsyncClient
    installation: Embedded
    at: Runtime
    app: FastAPI
    audited: list[bytes] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)

    async def ask(self, method: str, path: str, *, org: str | None = None, **request: Any) -> httpx.Response:
        """Send; with `org` under its first key."""
        headers = dict(request.pop("headers", {}))
        if org is not None:
            headers["X-API-Key"] = self.keys[org]
        return await self.client.request(method, "/api/v1" + path, headers=headers, **request)

    async def onboard(self, slug: str, plan: str = "SCALE", **body: Any) -> None:
        """Create an org and remember its key."""
        answer = await self.ask(
            "POST", "/organizations/onboard", headers=ROOT, json={"slug": slug, "plan": plan} | body
        )
        assert answer.status_code == 201, answer.text
        self.keys[slug] = answer.json()["api_key"]

    async def run(self, path: str = "shop/cost/daily", *, org: str = "acme", **request: Any) -> dict[str, Any]:
        """Run a pipeline to its end."""
        answer = await self.ask("POST", f"/pipelines/run/{org}/{path}", org=org, params={"wait": 20}, **request)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


Scenario = Callable[[Api], Awaitable[Any]]
RunScenario = Callable[..., Any]


@pytest.fixture
def run_scenario(tmp_path: Path) -> RunScenario:
    """Return a function that runs a scenario with an API where the org `acme` exists."""
    root = shutil.copytree(CONFIGS, tmp_path / "configs")
    for name, text in PIPELINES.items():
        file = root / f"{name}.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    async def whole(scenario: Scenario, given: Mapping[str, Any], orgs: tuple[str, ...]) -> Any:
        settings = Settings(**{"CONVERGENCE_ROOT_KEY": ROOT_KEY, "RATE_LIMIT_ENABLED": False, **given})
        options = EmbeddedOptions(data_dir=tmp_path / "data", configs_dir=root)
        async with embedded(options, "tests") as installation:
            await installation.worker.start()
            audited: list[bytes] = []
            bus = installation.services.bus
            assert isinstance(bus, LocalBus)
            bus.tap(AUDIT_EVENTS, lambda messages: audited.extend(each.data for each in messages))

            async def wait(org: str, run_id: str, seconds: float) -> Any:
                return await installation.worker.wait(org, run_id, timeout_s=seconds)

            at = runtime(installation.services, settings, wait=wait, log_lines=lambda _: ())
            app = create_app(at)
            transport = httpx.ASGITransport(app, client=("192.0.2.7", 4711))
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                api = Api(client, installation, at, app, audited)
                for org in orgs:
                    await api.onboard(org)
                audited.clear()
                return await scenario(api)

    def call(scenario: Scenario, *, orgs: tuple[str, ...] = ("acme",), **settings: Any) -> Any:
        return asyncio.run(whole(scenario, settings, orgs))

    return call
