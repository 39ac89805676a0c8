"""Plans of shipped pipelines, and how a test runs one step after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.config.loader import load_pipeline
from convergence.config.parameters.values import resolve_parameters
from convergence.config.processors import ps_types
from convergence.config.resolve import ResolveRequest, resolve
from convergence.domain.plan import Plan
from tests.unit.processors.step_world import CONFIGS, NOW, WorldContext


def plan_of(pipeline: str, **parameters: Any) -> Plan:
    loaded = load_pipeline(CONFIGS / f"{pipeline}.yml", CONFIGS)
    resolved = resolve_parameters(loaded, parameters, fire_time=NOW)
    request = ResolveRequest(
        org_slug="acme",
        env="test",
        project_id="local",
        org_dataset="acme_test",
        run_id="run_1",
        fire_time=NOW,
        credential_id="cred_1",
        parameters=resolved,
    )
    return resolve(loaded, request)


async def run(plan: Plan, context: WorldContext) -> dict[str, Mapping[str, Any]]:
    context.pipeline_id = plan.pipeline_id
    results: dict[str, Mapping[str, Any]] = {}
    for step in plan.steps:
        assert step.problem is None
        results[step.step_id] = await ps_types.load(step.ps_type).execute(step.config, context)
    return results
