"""A run whose steps cannot all run is refused before anything is stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convergence.config.checks.processors import check_processors
from convergence.config.files.schemas.folder import TableSchemas
from convergence.config.processors import ps_types
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.replay import replay
from convergence.errors import ConfigErrors, ConvergenceError
from tests.unit.config.builders import a_pipeline
from tests.unit.engine.conftest import Engine

CONFIGS = Path(__file__).parents[3] / "configs"
FIRST = "{step_id: first, ps_type: generic.bq_execute, config: {query: DELETE FROM t WHERE TRUE}}"
SECOND = "step_id: second, depends_on: first"
USAGE = "ps_type: anthropic.usage"


@pytest.fixture
def shipped(engine: Engine) -> Engine:
    """The engine with the shipped processors and schemas."""
    schemas = TableSchemas(CONFIGS)
    engine.services = replace(engine.services, processor=ps_types.load, schemas=schemas, configs_dir=CONFIGS)
    return engine


def refusal(engine: Engine, second: str, *, more: str = "", stores: str = "", invalid: bool = False) -> str | None:
    """Dispatch the pipeline; return the message of the refusal, after which nothing may be stored."""

    async def scenario() -> str | None:
        engine.pipeline(f"{more}\nsteps: [{FIRST}, {{{second}}}]")
        if stores:
            await engine.services.credentials.store("acme", stores, "key", name="default")
        if invalid:
            credential = await engine.services.credentials.find("acme", stores)
            assert credential is not None
            await engine.services.credentials.mark(credential, valid=False, reason="refused")
        try:
            await engine.start()
        except ConvergenceError as error:
            assert not (await engine.documents.query("runs", limit=1)).documents
            with pytest.raises(type(error)):
                await prepare(engine.services, RunRequest(org="acme", pipeline="p/d/n"))
            return f"{error.code}: {error}"
        return None

    answer: str | None = engine.run_scenario(scenario)
    return answer


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("ps_type: gcp.kms_manager", "'gcp.kms_manager' is not part of this installation yet"),
        ("ps_type: generic.dq_check, config: {table: openai_cost_daily}", "give checks, or dq_config"),
        ("ps_type: openai.cost, config: {on_unknown_model: '{date}'}", "on_unknown_model is not '20"),
        ("ps_type: genai.payg_cost, config: {provider: openai, prices: 1}", "openai.cost has no 'prices' here"),
        ("ps_type: genai.payg_usage, config: {provider: deepseek}", "deepseek has no usage"),
        ("ps_type: genai.payg_usage", "config.provider is missing"),
        ("ps_type: generic.local_bq_transformer, config: {sql: SELECT 1}", "the step needs `destination: {table: …}`"),
        (
            "ps_type: generic.local_bq_transformer, config: {sql: SELECT 1}, destination: {table: opnai_cost_daily}",
            "the table 'opnai_cost_daily' has no schema. No schema file is called opnai_cost_daily.json. Did you mean",
        ),
        (
            "ps_type: generic.api_extractor, config: {url: 'https://x.example'}, destination: {tabel: t}",
            "generic.api_extractor has no 'tabel' here. Did you mean 'table'?",
        ),
        ("ps_type: openai.seed_csv, destination: {table: openai_model_pricing}", "source.file: file is missing"),
        ("ps_type: generic.procedure_executor, config: {procedure: sp, tables: [none]}", "'none' has no schema"),
        (USAGE, "acme has no credential for 'anthropic'; store one with: convergence run acme anthropic/auth/setup"),
        ("ps_type: integrations.kms_decrypt, config: {provider: '{provider}'}", "no credential for 'p'"),
        (
            "ps_type: generic.api_extractor, config: {url: 'https://x.io', auth: {provider: crm, secret_key: key}},"
            " destination: {table: openai_cost_daily}",
            "no credential for 'crm'",
        ),
    ],
)
def test_what_cannot_run_is_refused_as_a_whole(shipped: Engine, second: str, message: str) -> None:
    answer = refusal(shipped, f"{SECOND}, {second}")
    assert answer is not None
    assert answer.startswith("config.invalid: p/d/n.yml:")
    assert message in answer


@pytest.mark.parametrize(
    "second",
    [
        "ps_type: gcp.kms_manager, enabled: false",
        "ps_type: gcp.kms_manager, when: '{provider} == other'".replace("other", "''other''"),
        f"{USAGE}, when: results.first.rows_written == 1",
        "ps_type: openai.cost",  # its table is fixed
        "ps_type: genai.payg_cost",
    ],
)
def test_a_step_that_may_not_run_or_needs_nothing_stops_no_run(shipped: Engine, second: str) -> None:
    assert refusal(shipped, f"{SECOND}, {second}") is None


def test_a_step_that_earlier_ones_decide_is_checked_all_the_same(shipped: Engine) -> None:
    answer = refusal(shipped, f"{SECOND}, ps_type: gcp.kms_manager, when: results.first.rows_written == 1")
    assert answer is not None
    assert "'gcp.kms_manager' is not part of this installation yet" in answer


def test_an_end_step_without_its_credential_stops_no_run(shipped: Engine) -> None:
    text = "step_id: tell, trigger: on_failure, ps_type: notify_systems.slack_notification, config: {message: m}"
    assert refusal(shipped, text) is None


def test_a_stored_credential_is_enough(shipped: Engine) -> None:
    assert refusal(shipped, f"{SECOND}, {USAGE}", stores="anthropic") is None


def test_an_invalid_one_is_not_an_active_integration_written_or_not(shipped: Engine) -> None:
    answer = refusal(shipped, f"{SECOND}, {USAGE}", stores="anthropic", invalid=True)
    assert answer == "integration.inactive: anthropic integration not active; set it up with anthropic/auth/setup"


def test_a_validation_may_try_an_invalid_one(shipped: Engine) -> None:
    assert refusal(shipped, f"{SECOND}, ps_type: anthropic.validation", stores="anthropic", invalid=True) is None


def test_what_an_earlier_step_stores_is_there_for_later_ones(shipped: Engine) -> None:
    async def scenario() -> Any:
        store = "{step_id: first, ps_type: integrations.kms_store, config: {provider: anthropic}}"
        head = "parameters: {api_key: {type: secret, required: true}}\n"
        shipped.pipeline(f"{head}steps: [{store}, {{{SECOND}, {USAGE}}}]")
        return await shipped.start(parameters={"api_key": "sk-1"})

    assert shipped.run_scenario(scenario).run_id


def test_a_pipeline_of_no_provider_records_the_one_credential_that_it_opens(shipped: Engine) -> None:
    async def scenario() -> tuple[str, str]:
        stored = await shipped.services.credentials.store("acme", "anthropic", "key", name="default")
        shipped.pipeline(f"steps: [{FIRST}, {{{SECOND}, {USAGE}}}]")
        return stored, (await shipped.start()).credential_id

    stored, used = shipped.run_scenario(scenario)
    assert used == stored


def test_a_parameter_may_name_the_credential_of_a_run(engine: Engine) -> None:
    engine.pipeline("parameters: {credential_id: {type: string}}\nsteps: [{step_id: only, ps_type: generic.noop}]")

    async def scenario() -> None:
        store = engine.services.credentials.store
        _, second = [await store("acme", "p", "key", name=name) for name in ("first", "second")]
        assert (await engine.start(parameters={"credential_id": second})).credential_id == second

    engine.run_scenario(scenario)


def test_a_replay_with_the_latest_file_is_checked_too(engine: Engine) -> None:
    async def scenario() -> None:
        async def fail(*_: Any) -> Any:
            return {"status": "FAILED", "error": "no"}

        engine.works["only"] = fail
        engine.pipeline("steps: [{step_id: only, ps_type: generic.noop}]")
        run = await engine.run()
        engine.pipeline("steps: [{step_id: only, ps_type: gcp.kms_manager}]")
        services = replace(engine.services, processor=ps_types.load)
        with pytest.raises(ConfigErrors, match="is not part of this installation yet"):
            await replay(services, "acme", run.run_id, latest=True)

    engine.run_scenario(scenario)


@pytest.mark.parametrize("name", sorted(ps_types.installed()))
def test_every_shipped_processor_has_a_model_of_its_config(name: str) -> None:
    assert getattr(ps_types.load(name), "config_model", None) is not None


def test_validate_finds_the_same_without_an_org() -> None:
    step = "step_id: a, ps_type: generic.local_bq_transformer, config: {sql: SELECT 1}, destination: {table: x}"
    (problem,), _ = check_processors(a_pipeline(f"steps: [{{{step}}}]"), "embedded", TableSchemas(CONFIGS))
    assert "the table 'x' has no schema" in str(problem)
