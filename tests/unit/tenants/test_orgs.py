"""Orgs: plans, subscriptions, changes by several at once, onboarding, the choice of a credential."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.files.schemas.folder import TableSchemas
from convergence.config.loader import parse_pipeline
from convergence.config.model.pipeline import Pipeline
from convergence.domain.quota import Limits
from convergence.errors import Conflict, IntegrationInactive, InvalidInput, NotFound
from convergence.ports.warehouse import Scope, Statement
from convergence.tenants.credential_selection import choose_credential
from convergence.tenants.onboarding import onboard
from convergence.tenants.orgs import Org, subscription_status
from convergence.tenants.plans import load_plans, on_plan
from tests.unit.tenants.conftest import Tenants

CONFIGS = Path(__file__).parents[3] / "configs"
HEAD = (
    'pipeline_id: "{org_slug}-n"\nname: N\nprovider: openai\ndomain: d\nsteps: [{step_id: a, ps_type: generic.noop}]\n'
)


def pipeline(required: str = "") -> Pipeline:
    text = HEAD + (f"integration_required: [{required}]\n" if required else "")
    return parse_pipeline(text, "openai/d/n").pipeline


def test_the_three_plans_allow_what_they_promise() -> None:
    limits = {name: (plan.daily, plan.monthly, plan.concurrent) for name, plan in load_plans(CONFIGS).items()}
    assert limits == {"STARTER": (6, 180, 2), "PROFESSIONAL": (20, 600, 5), "SCALE": (100, 3000, 20)}
    with pytest.raises(InvalidInput, match="Did you mean 'STARTER'"):
        on_plan(CONFIGS, cast("Org", None), "STARTR")


@pytest.mark.parametrize(
    ("word", "status"),
    [("trialing", "TRIAL"), ("active", "ACTIVE"), ("canceled", "CANCELLED")]
    + [(word, "SUSPENDED") for word in ("past_due", "paused", "incomplete")],
)
def test_billing_words_become_statuses(word: str, status: str) -> None:
    assert subscription_status(word) == status


def test_another_billing_word_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="Did you mean 'canceled'"):
        subscription_status("cancelled")


def test_two_changes_at_once_are_both_kept(tenants: Tenants) -> None:
    def edit(key: str) -> Callable[[Org], Org]:
        return lambda org: replace(org, profile={**org.profile, key: "x"})

    async def scenario() -> Org:
        await asyncio.gather(
            *(tenants.orgs.change("acme", edit(f"k{n}"), token=f"t{n}") for n in range(5)),
            *(tenants.credentials.store("acme", "openai", "sk", name=f"n{n}") for n in range(3)),
        )
        return await tenants.orgs.get("acme")

    org = tenants.run_scenario(scenario)
    assert sorted(org.profile) == ["k0", "k1", "k2", "k3", "k4"]
    assert "openai" in org.default_credentials


def test_an_org_that_is_not_there_cannot_be_changed(tenants: Tenants) -> None:
    with pytest.raises(NotFound):
        tenants.run_scenario(lambda: tenants.orgs.change("globex", lambda org: org, token="t"))


def test_onboarding_makes_tables_org_and_key_and_only_once(tenants: Tenants) -> None:
    warehouse, schemas = DuckDbWarehouse(None, clock=tenants.clock), TableSchemas(CONFIGS)

    async def scenario() -> None:
        founding = (tenants.documents, warehouse, schemas, tenants.keys, tenants.org("globex", plan="STARTER"))
        org, _, text = await onboard(*founding, dataset="globex_dev", configs_dir=CONFIGS)
        assert org.limits == Limits(daily=6, monthly=180, concurrent=2)
        found = await tenants.keys.verify(text)
        assert found is not None
        assert found.org == "globex"
        tables = await warehouse.query(
            Statement("SELECT BilledCost FROM cost_data_standard_1_3", scope=Scope(dataset="globex_dev"))
        )
        assert tables.rows == []
        with pytest.raises(Conflict, match="exists already"):
            await onboard(*founding, dataset="globex_dev", configs_dir=CONFIGS)
        assert len(await tenants.keys.all("globex")) == 1

    tenants.run_scenario(scenario)
    warehouse.close()


def test_onboarding_refuses_a_bad_slug_or_plan_before_it_makes_anything(tenants: Tenants) -> None:
    warehouse: Any = None  # touching it would be an error of its own
    given = (tenants.documents, warehouse, TableSchemas(CONFIGS), tenants.keys)
    for org in (tenants.org("Acme"), tenants.org("../x"), tenants.org("globex", plan="FREE")):
        with pytest.raises(InvalidInput):
            asyncio.run(onboard(*given, org, dataset="d", configs_dir=CONFIGS))


def test_a_run_uses_the_named_credential_else_the_default(tenants: Tenants) -> None:
    async def scenario() -> None:
        first = await tenants.credentials.store("acme", "openai", "sk-1", name="one")
        second = await tenants.credentials.store("acme", "openai", "sk-2", name="two")
        org = await tenants.orgs.get("acme")
        assert await choose_credential(tenants.credentials, org, pipeline("openai"), "") == first
        assert await choose_credential(tenants.credentials, org, pipeline("openai"), second) == second
        with pytest.raises(InvalidInput, match="no openai credential 'cred_x'"):
            await choose_credential(tenants.credentials, org, pipeline(), "cred_x")

    tenants.run_scenario(scenario)


def test_several_credentials_without_a_default_are_a_question(tenants: Tenants) -> None:
    async def scenario() -> None:
        ids = [await tenants.credentials.store("acme", "openai", "sk", name=name) for name in ("one", "two", "three")]
        await tenants.credentials.delete("acme", "openai", ids[0])
        org = await tenants.orgs.get("acme")
        with pytest.raises(InvalidInput, match="2 openai credentials and no default"):
            await choose_credential(tenants.credentials, org, pipeline("openai"), "")
        await tenants.credentials.delete("acme", "openai", ids[1])
        assert await choose_credential(tenants.credentials, org, pipeline("openai"), "") == ids[2]
        with pytest.raises(NotFound):
            await tenants.credentials.delete("acme", "openai", ids[1])

    tenants.run_scenario(scenario)


def test_a_pipeline_that_needs_an_integration_is_refused_without_one_or_with_a_rejected_one(tenants: Tenants) -> None:
    async def scenario() -> None:
        org = await tenants.orgs.get("acme")
        with pytest.raises(IntegrationInactive, match="openai integration not active"):
            await choose_credential(tenants.credentials, org, pipeline("openai"), "")
        await tenants.credentials.store("acme", "openai", "sk", name="one")
        found = await tenants.credentials.find("acme", "openai")
        assert found is not None
        await tenants.credentials.mark(found, valid=False, reason="revoked")
        with pytest.raises(IntegrationInactive):
            await choose_credential(tenants.credentials, await tenants.orgs.get("acme"), pipeline("openai"), "")

    tenants.run_scenario(scenario)
