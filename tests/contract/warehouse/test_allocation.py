"""`sp_unified_allocate_cost` gives the same parts of the same charges to the same teams on both warehouses."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from convergence.config.files.allocation import Allocation
from convergence.config.files.procedures import load_procedures
from convergence.ports.warehouse import Parameter, ProcedureCall, Statement, Warehouse
from convergence.processors.focus.allocate import PROCEDURE, rules_text
from tests.contract.warehouse.charges import CONFIGS, FOCUS, NOVEMBER, UNIFIED, charge
from tests.contract.warehouse.routines import SCOPE
from tests.contract.warehouse.world import READ, Body, load

RULES = Allocation.model_validate(
    {
        "allocation": [
            {
                "name": "thirds",
                "when": {"tags": {"App": ["pool"]}, "services": ["OpenAI API"]},
                "split_by_share": {"teams": {"Search": 1, "Ads": 1}, "of": 3},
            },
            {"name": "support", "when": {"services": ["Support"]}, "split_by_usage": {"unit": "Tokens"}},
            {"name": "tag", "team_of_tag": "team"},
            {"name": "rest", "to": "2026-11-01", "when": {"providers": ["openai"]}, "team": "Platform"},
        ]
    }
).allocation
USED = {"ConsumedUnit": "Tokens", "x_Provider": "openai"}
CHARGES = [
    charge(NOVEMBER, "1", x_ChargeId="1", Tags='{"n": 1, "user:app": "pool"}'),
    charge(NOVEMBER, "2.5", x_ChargeId="2", Tags='{"team": "a \\"b\\""}', **USED) | {"ConsumedQuantity": Decimal(10)},
    charge(NOVEMBER, "3", x_ChargeId="3", **USED) | {"ConsumedQuantity": Decimal(20)},
    charge(NOVEMBER, "1", x_ChargeId="4", ServiceName="Support")
    | {"ChargePeriodEnd": charge(NOVEMBER, "0")["BillingPeriodEnd"]},
    charge(NOVEMBER, "5", x_ChargeId="5"),
]
# Charge, team, part of the cost: of the first day, on which everything was used.
PARTS = [
    ("1", None, "0.333333333333"),
    ("1", "Ads", "0.333333333334"),
    ("1", "Search", "0.333333333333"),
    ("2", 'a "b"', "2.5"),
    ("3", "Platform", "3"),
    ("4", "Platform", "0.022222222222"),
    ("4", 'a "b"', "0.011111111111"),
    ("5", None, "5"),
]


def test_charges_are_given_to_teams_alike(run: Callable[[Body], None]) -> None:
    async def body(warehouse: Warehouse) -> None:
        for table in (FOCUS, UNIFIED):
            await warehouse.ensure_table("acme_prod", table)
        await load(warehouse, FOCUS, CHARGES)
        await warehouse.sync_routines([each for each in load_procedures(CONFIGS) if each.name == PROCEDURE])
        texts = {"org_slug": "acme", "pipeline_id": "p", "credential_id": "", "run_id": "r1"}
        arguments = {f"p_{name}": Parameter("STRING", value) for name, value in texts.items()}
        arguments |= {f"p_{name}_date": Parameter("DATE", NOVEMBER) for name in ("start", "end")}
        arguments["p_rules"] = Parameter("STRING", rules_text(RULES))
        for job in ("first", "again"):
            await warehouse.call(ProcedureCall(PROCEDURE, arguments, scope=SCOPE, job_id=job))
        sql = (
            "SELECT charge_id, team, billed_cost AS cost FROM unified_cost_daily ORDER BY charge_id, COALESCE(team, '')"
        )
        rows = (await warehouse.query(Statement(sql, scope=READ))).rows
        found = [(row["charge_id"], row["team"], row["cost"]) for row in rows]
        assert found == [(name, team, Decimal(cost)) for name, team, cost in PARTS]

    run(body)
