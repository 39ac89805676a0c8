"""A data directory with the demo's runs and some that fail, served by a process of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.conftest import ROOT, Installation
from tests.e2e.serving import OPERATOR, ROOT_KEY, serving

HOSTILE = "<img src=x onerror=alert(1)>\"'> \u202e مرحبا " + "x" * 3_000
PIPELINES = {
    "shop/plans": """
name: Seats and plans of the shop
provider: shop
schedule: {cron: "30 2 * * *", timezone: Europe/Berlin}
parameters:
  file: {type: string, default: openai/seed/missing.csv, description: "Below the configs folder."}
steps:
  - {step_id: look, ps_type: generic.noop}
  - step_id: load_plans
    ps_type: openai.seed_csv
    depends_on: [look]
    source: {file: "{file}"}
    destination: {table: openai_subscription_plans}
  - {step_id: tell, ps_type: generic.noop, depends_on: [load_plans]}
""",
    "shop/daily": """
name: Daily usage of the shop
provider: shop
parameters:
  note: {type: string, default: none}
steps:
  - {step_id: look, ps_type: generic.noop, config: {said: "{note}"}}
  - {step_id: look_again, ps_type: generic.noop, depends_on: [look]}
""",
}
FIXED = "openai/seed/subscription_plans.csv"


@dataclass(frozen=True)
class Site:
    """Where the pages are, and what is on them."""

    url: str
    root_key: str
    key: str
    failed: str
    hostile: str
    costs: str


@contextmanager
def site_in(folder: Path) -> Iterator[Site]:
    """Serve a new data directory below `folder`."""
    configs = shutil.copytree(ROOT / "configs", folder / "configs")
    for name, text in PIPELINES.items():
        file = configs / f"{name}.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('pipeline_id: "{org_slug}-' + name.replace("/", "-") + '"\n' + text.lstrip())
    installation = Installation(folder / "data", configs)
    installation.call("demo", "--start", "2026-10-10", "--end", "2026-10-12")
    with serving(installation, RATE_LIMIT_ENABLED="false") as (_, address):
        with httpx.Client(base_url=address, headers=OPERATOR, timeout=60) as api:

            def run(path: str, **parameters: Any) -> str:
                answer = api.post(f"/pipelines/run/demo/{path}", params={"wait": 60}, json=parameters)
                assert answer.status_code == 200, answer.text
                return str(answer.json()["run_id"])

            key = api.post("/organizations/demo/keys", json={"name": "ops-laptop"}).json()["api_key"]
            for _ in range(3):
                run("shop/daily")
            # The demo's org schedules nothing by itself; this one is its own.
            nightly = {"pipeline": "shop/daily", "name": "nightly", "cron_expression": "30 2 * * *"}
            added = api.post("/scheduler/schedules/demo", json={**nightly, "timezone": "Europe/Berlin"})
            assert added.status_code == 201, added.text
            hostile = run("shop/daily", note=HOSTILE)
            failed = run("shop/plans")
            costs = api.get("/pipelines/history/demo", params={"provider": "openai", "limit": 1}).json()["runs"][0][
                "run_id"
            ]
        yield Site(address.removesuffix("/api/v1"), ROOT_KEY, key, failed, hostile, str(costs))
