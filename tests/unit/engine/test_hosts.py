"""Which hosts a step may call: in production none that the caller's parameters spell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from convergence.ports.http.hosts import check_host
from convergence.ports.processor import Context
from convergence.worker import LocalWorker
from tests.unit.engine.conftest import Engine

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.mark.parametrize(("env", "refused"), [("prod", True), ("dev", False)])
def test_a_step_in_production_calls_no_host_of_the_callers(
    engine: Engine, tmp_path: Path, env: str, refused: bool
) -> None:
    """The value goes through a template, a step's result and the processor's own code."""

    async def call(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        url = f"https://{step_config['config']['said']}/v1"
        check_host(urlsplit(url).hostname or "")  # as the transport does
        return {"status": "SUCCESS"}

    async def tell(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        return {"status": "SUCCESS", "server": step_config["config"]["said"]}

    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "providers.yml").write_bytes((CONFIGS / "system" / "providers.yml").read_bytes())
    engine.pipeline(
        "parameters: {place: {type: string, default: main}}\n"
        "steps:\n"
        '  - {step_id: tell, ps_type: generic.noop, config: {said: "{place}.example"}}\n'
        '  - {step_id: call, ps_type: generic.noop, depends_on: tell, config: {said: "{results.tell.server}"}}\n'
    )
    engine.works.update(tell=tell, call=call)
    engine.services = replace(engine.services, env=env, configs_dir=tmp_path)
    engine.bus.detach()
    engine.worker = LocalWorker(engine.services, engine.bus)

    async def scenario() -> Any:
        run = await engine.run(parameters={"place": "evil.example/?"})
        return run.status, (run.error or {}).get("message", "")

    status, message = engine.run_scenario(scenario)
    assert (status == "failed", "the parameter place leads to the host 'evil.example'" in message) == (refused, refused)
