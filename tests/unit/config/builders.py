"""Pipelines and requests with everything that a test does not care about filled in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convergence.config.loader import LoadedPipeline, parse_pipeline
from convergence.config.parameters.values import resolve_parameters
from convergence.config.resolve import ResolveRequest, resolve
from convergence.domain.plan import Plan

FIRE = datetime(2026, 3, 5, 1, 30, tzinfo=UTC)
VALID = Path(__file__).parents[2] / "pipelines" / "valid"


def a_pipeline(body: str, name: str = "tests/one") -> LoadedPipeline:
    """A pipeline from the part of its file that matters."""
    head = "" if "pipeline_id" in body else 'pipeline_id: "{org_slug}-tests"\n'
    tail = "" if "steps:" in body else "\nsteps:\n  - {step_id: only_step, ps_type: generic.noop}\n"
    return parse_pipeline(head + body + tail, name)


def a_step(config: str, more: str = "") -> LoadedPipeline:
    """A pipeline of one step; `config` is one line of YAML."""
    return a_pipeline(f"{more}\nsteps:\n  - step_id: only_step\n    ps_type: generic.noop\n    config: {config}\n")


def a_request(loaded: LoadedPipeline, given: Mapping[str, Any] | None = None, **changed: Any) -> ResolveRequest:
    """A request of the org acme in production, at 01:30 UTC on 2026-03-05."""
    fire_time = changed.pop("fire_time", FIRE)
    fields: dict[str, Any] = {
        "org_slug": "acme",
        "env": "prod",
        "project_id": "project-1",
        "org_dataset": "acme_prod",
        "run_id": "run_1",
        "parameters": resolve_parameters(loaded, given or {}, fire_time=fire_time),
        **changed,
    }
    return ResolveRequest(fire_time=fire_time, **fields)


def a_plan(loaded: LoadedPipeline, given: Mapping[str, Any] | None = None, **changed: Any) -> Plan:
    """The plan of such a request."""
    return resolve(loaded, a_request(loaded, given, **changed))


def config_of(loaded: LoadedPipeline, given: Mapping[str, Any] | None = None, **changed: Any) -> Any:
    """The resolved `config` of the first step."""
    return a_plan(loaded, given, **changed).steps[0].config["config"]
