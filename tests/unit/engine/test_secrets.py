"""Secrets: sealed when accepted, opened in a step, seen nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from convergence.config.files.models import ProviderLine, Providers
from convergence.domain.plan import PlanStep
from convergence.domain.records import changed
from convergence.engine.step.secrets import source_of
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.worker import LocalWorker
from tests.unit.domain.runs import a_run
from tests.unit.engine.conftest import Engine

KEY = "sk-admin-0123456789-plaintext"
PIPELINE = """
parameters: {api_key: {type: secret, required: true}}
steps:
  - {step_id: store_key, ps_type: generic.noop}
  - {step_id: validate_key, ps_type: generic.noop, depends_on: store_key}
"""


def test_a_secret_parameter_is_opened_stored_and_found_again_but_never_shown(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.pipeline(PIPELINE)
    opened: list[str] = []

    async def store(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        key = await context["secrets"].open("api_key")
        context.logger.warning("got %s", key)
        return {"status": "SUCCESS", "credential_id": await context.credentials.store("p", key), "echo": f"<{key}>"}

    async def use(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        opened.append(await context.secrets.open("p"))
        await context.credentials.mark("p", valid=True)
        raise StepFailed(f"refused {opened[0]}")

    engine.works |= {"store_key": store, "validate_key": use}

    async def scenario() -> Any:
        run = await engine.run(parameters={"api_key": KEY})
        rows = engine.documents.connection.execute("SELECT body FROM documents").fetchall()
        return run, "".join(body for (body,) in rows)

    run, everything = engine.run_scenario(scenario)
    assert opened == [KEY]
    assert run.error["message"] == "generic.noop: refused [secret]"
    assert KEY not in everything
    assert "<[secret]>" in everything
    assert KEY not in caplog.text
    assert KEY.encode() not in b"".join(engine.events)


def test_a_credential_copied_to_another_org_does_not_decrypt(engine: Engine) -> None:
    async def scenario() -> None:
        store = engine.services.credentials
        await engine.org("other")
        mine = await store.store("acme", "p", KEY, name="default")
        document = await engine.data(f"orgs/acme/credentials/{mine}")
        from convergence.errors import Denied
        from convergence.ports.documents import Create

        await engine.documents.commit([Create(f"orgs/other/credentials/{mine}", document)])
        stolen = await store.find("other", "p")
        assert stolen is not None
        with pytest.raises(Denied):
            await store.open(stolen)

    engine.run_scenario(scenario)


def test_a_missing_credential_says_how_to_store_one(engine: Engine) -> None:
    engine.pipeline("steps: [{step_id: load_a, ps_type: generic.noop}]")

    async def work(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        await context.secrets.open("p")
        return {"status": "SUCCESS"}

    engine.works["load_a"] = work
    error = engine.run_scenario(engine.run).error
    assert "acme has no credential for 'p'; store one with: convergence run acme p/auth/setup" in error["message"]


def test_storing_the_same_name_again_rotates(engine: Engine) -> None:
    async def scenario() -> None:
        store = engine.services.credentials
        first = await store.store("acme", "p", "old-key", name="default")
        assert await store.store("acme", "p", "new-key", name="default") == first
        found = await store.find("acme", "p")
        assert found is not None
        assert await store.open(found) == "new-key"

    engine.run_scenario(scenario)


class Counted:
    """Accounts of one execution; its token is its number."""

    made: list[Counted]

    def __init__(self) -> None:
        self.closed = False
        self.made.append(self)

    async def token(self, secret: str, scopes: Sequence[str]) -> str:
        return f"ya29.token-{len(self.made)}-of-{secret}"

    async def reader(self, secret: str, **where: str) -> Any:
        raise StepFailed("no reader here")

    async def close(self) -> None:
        self.closed = True


def test_accounts_are_made_for_one_execution_closed_at_its_end_and_their_tokens_masked(engine: Engine) -> None:
    engine.pipeline(PIPELINE)
    Counted.made = []
    engine.services = replace(engine.services, accounts=Counted)
    engine.bus.detach()
    engine.worker = LocalWorker(engine.services, engine.bus)

    async def ask(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        token = await context.accounts.token("key", ("scope",))
        assert [accounts.closed for accounts in Counted.made] == [True] * (len(Counted.made) - 1) + [False]
        if context.step_id == "validate_key":
            raise StepFailed(f"refused {token}")
        return {"status": "SUCCESS", "echo": token}

    engine.works |= {"store_key": ask, "validate_key": ask}

    async def scenario() -> Any:
        run = await engine.run(parameters={"api_key": KEY})
        rows = engine.documents.connection.execute("SELECT body FROM documents").fetchall()
        return run, "".join(body for (body,) in rows)

    run, everything = engine.run_scenario(scenario)
    assert run.error["message"] == "generic.noop: refused [secret]"
    assert [accounts.closed for accounts in Counted.made] == [True, True]
    assert "ya29.token" not in everything


def test_the_credential_of_an_earlier_decrypt_step_comes_first(engine: Engine) -> None:
    use_step = "{step_id: use_key, ps_type: generic.noop, depends_on: decrypt_key}"
    steps = f"{{step_id: decrypt_key, ps_type: generic.noop}}, {use_step}"
    opened: dict[str, str] = {}

    async def scenario() -> Any:
        store = engine.services.credentials.store
        first = await store("acme", "q", "first-key", name="one")
        second = await store("acme", "q", "second-key", name="two")
        await store("acme", "z", "other-key", name="one")

        async def decrypt(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
            opened["before"] = await context.secrets.open("q")
            opened["id"] = await context.credentials.credential_id("q")
            return {"status": "SUCCESS", "provider": "q", "credential_id": second, "opens": True}

        async def use(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
            opened["after"] = await context["secrets"].open("q")
            opened["other"] = await context["secrets"].open("z")
            return {"status": "SUCCESS"}

        engine.works |= {"decrypt_key": decrypt, "use_key": use}
        engine.pipeline(f"steps: [{steps}]")
        run = await engine.run()
        return run.status, first

    status, first = engine.run_scenario(scenario)
    assert status == "completed"
    assert opened == {"before": "first-key", "id": first, "after": "second-key", "other": "other-key"}


def test_a_credential_that_a_step_stores_without_a_name_is_the_default_one(engine: Engine) -> None:
    engine.pipeline("steps: [{step_id: store_key, ps_type: generic.noop}]")

    async def store(step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        return {"status": "SUCCESS", "credential_id": await context.credentials.store("p", KEY)}

    engine.works["store_key"] = store

    async def scenario() -> Any:
        await engine.run()
        return await engine.services.credentials.find("acme", "p")

    found = engine.run_scenario(scenario)
    assert (found.provider, found.name) == ("p", "default")


@pytest.mark.parametrize(
    ("ps_type", "config", "source"),
    [
        ("openai.usage", {}, "openai"),
        ("openai.usage", {"config": {"provider": "azure"}}, "azure"),
        ("openai.usage", {"config": {"provider": ""}}, "openai"),
        ("openai.usage", {"config": {"provider": 7}}, "openai"),
        ("openai.usage", {"config": {"provider": "genai"}}, ""),
        ("openai.seed_csv", {}, ""),
        ("genai.usage", {}, ""),
        ("generic.noop", {}, ""),
        ("unknown.usage", {}, ""),
    ],
)
def test_a_step_of_another_providers_pipeline_handles_the_data_of_its_own(
    engine: Engine, ps_type: str, config: dict[str, Any], source: str
) -> None:
    line = ProviderLine(type="llm")
    registry = Providers(providers={"openai": line, "azure": line, "genai": line})
    services = replace(engine.services, providers=lambda: registry)
    run = changed(a_run(), provider="genai")
    planned = PlanStep(step_id="a", ps_type=ps_type, config=config)

    async def scenario() -> str:
        return source_of(services, run, planned)

    assert engine.run_scenario(scenario) == source
