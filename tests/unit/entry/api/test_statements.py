"""A statement that does not fit its tables starts no run: `validate`, `plan`, dry runs and dispatch share the check."""

from __future__ import annotations

from typing import Any, Final

import pytest

from convergence.adapters.local.warehouse.reader import DuckDbReader
from convergence.ports.documents import Where
from tests.unit.entry.api.conftest import Api, RunScenario

PIPELINE: Final = """
pipeline_id: "{org_slug}-shop-clean"
provider: shop
steps:
  - {step_id: delete_it, ps_type: generic.bq_execute, config: {sql: DELETE FROM openai_subscription_plans WHERE TRUE}}
  - step_id: read_it
    ps_type: generic.bq_execute
    depends_on: delete_it
    config: {sql: SELECT plann FROM openai_subscription_plans}
    destination: {table: openai_subscription_plans}
"""
PATH: Final = "/pipelines/run/acme/shop/clean"


def write(api: Api, text: str) -> None:
    """Write the pipeline into the installation's folder."""
    (api.installation.services.configs_dir / "shop/clean.yml").write_text(text)


def test_dry_run_and_run_refuse_it_and_nothing_is_deleted(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        write(api, PIPELINE)
        for more in ({"params": {"dry_run": "true"}}, {}):
            answer = await api.ask("POST", PATH, org="acme", **more)
            assert answer.status_code == 422, answer.text
            assert answer.json()["code"] == "config.invalid"
            [error] = answer.json()["errors"]
            assert error["where"].startswith("shop/clean.yml:9:"), error
            assert "There is no column 'plann'. Did you mean 'plan'?" in error["message"]
        stored = await api.installation.documents.query("runs", where=[Where("org", "==", "acme")], order=[], limit=1)
        assert stored.documents == []

    run_scenario(scenario)


def test_a_file_is_judged_once_for_each_of_its_versions(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    close = DuckDbReader.close
    monkeypatch.setattr(DuckDbReader, "close", lambda reader: (opened.append(reader), close(reader))[1])

    async def scenario(api: Api) -> None:
        write(api, PIPELINE)
        for _ in range(3):
            assert (await api.ask("POST", PATH, org="acme", params={"dry_run": "true"})).status_code == 422
        assert len(opened) == 1
        write(api, PIPELINE.replace("plann", "plan"))
        assert (await api.ask("POST", PATH, org="acme", params={"dry_run": "true"})).status_code == 422
        assert len(opened) == 2

    run_scenario(scenario)


def test_what_is_doubtful_is_a_warning_of_the_dry_run(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        text = PIPELINE.replace("plann FROM openai", "1 AS n FROM other_dev.openai").split("    destination")[0]
        write(api, text)
        answer = await api.ask("POST", PATH, org="acme", params={"dry_run": "true"})
        assert answer.status_code == 200, answer.text
        assert any("'other_dev' is the dataset of one org" in each for each in answer.json()["warnings"])

    run_scenario(scenario)
