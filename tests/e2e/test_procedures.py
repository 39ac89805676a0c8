"""Stored procedures as steps: their failures are the step's, their time is the step's."""

from __future__ import annotations

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.domain.quota import Limits
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.tenants.orgs import Org

SCHEMAS = Path(__file__).parents[2] / "configs" / "system" / "schemas"
PIPELINE = """
pipeline_id: "{{org_slug}}-audit"
name: Audit
steps:
  - step_id: run_procedure
    ps_type: generic.procedure_executor
    timeout_seconds: {seconds}
    config: {{procedure: sp_audit, params: {{p_least: 3}}}}
"""
PROCEDURE = """CREATE OR REPLACE PROCEDURE `{{project_id}}.organizations`.sp_audit(IN p_least INT64)
BEGIN
  DECLARE seen INT64 DEFAULT 1;
  {body}
END;
"""


def run_with(folder: Path, body: str, seconds: int = 60) -> Any:
    """Run a pipeline whose one step calls a procedure with this body; return the run."""
    root = folder / "configs"
    shutil.copytree(SCHEMAS, root / "system" / "schemas")
    (root / "system" / "procedures" / "audit").mkdir(parents=True)
    (root / "system" / "procedures" / "audit" / "sp_audit.sql").write_text(PROCEDURE.format(body=body))
    (root / "audit").mkdir()
    (root / "audit" / "check.yml").write_text(PIPELINE.format(seconds=seconds))

    async def scenario() -> Any:
        options = EmbeddedOptions(data_dir=folder / "data", configs_dir=root)
        async with embedded(options, "test") as installation:
            services = installation.services
            limits = Limits(daily=9, monthly=9, concurrent=9)
            now = services.clock.now()
            await services.orgs.create(Org(slug="acme", name="a", status="ACTIVE", limits=limits, created_at=now))
            await services.warehouse.ensure_dataset("acme_dev")
            await installation.worker.start()
            run = await dispatch(services, RunRequest(org="acme", pipeline="audit/check"))
            return await installation.worker.wait("acme", run.run_id)

    return asyncio.run(scenario())


def test_a_failing_assert_is_the_steps_error_and_says_which(tmp_path: Path) -> None:
    run = run_with(tmp_path, "ASSERT seen >= p_least AS 'too few days were seen';")
    assert run.status == "failed"
    assert "too few days were seen" in run.error["message"]
    assert "sp_audit" in run.error["message"]


@pytest.mark.parametrize("body", ["LOOP SET seen = seen + 1; END LOOP;", "WHILE TRUE DO SET seen = 1; END WHILE;"])
def test_an_endless_loop_ends_at_the_steps_limit(tmp_path: Path, body: str) -> None:
    run = run_with(tmp_path, body, seconds=1)
    assert "timed out after 1s (the step's timeout)" in run.error["message"]
    assert run.finished_at - run.created_at < timedelta(seconds=20)
