"""`sp_focus_assign_hierarchy` finds the same node of the org's hierarchy on both warehouses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convergence.config.files.procedures import load_procedures
from convergence.config.files.schemas.folder import TableSchemas
from convergence.ports.warehouse import Parameter, ProcedureCall, Statement, Warehouse
from tests.contract.warehouse.routines import SCOPE
from tests.contract.warehouse.world import JAN_1, JAN_2, Body, a_lineage, a_load

CONFIGS = Path(__file__).parents[3] / "configs"
COSTS, HIERARCHY = (TableSchemas(CONFIGS).get(name) for name in ("cost_data_candidate_1_3", "org_hierarchy"))
REQUIRED = [column for column in COSTS.columns if column.mode == "REQUIRED"]
FILLERS: dict[str, Any] = {"BIGNUMERIC": "1", "STRING": "x", "TIMESTAMP": "2026-01-01T00:00:00Z", "DATE": "2026-01-01"}
# key, user, account and tags of a charge, its day, and the node that it belongs to
CHARGES = [
    ("key_1", "user_1", "proj_1", None, JAN_1, "bot"),
    ("key_2", "user_1", "proj_1", None, JAN_1, "kim"),
    ("key_2", None, "proj_1", None, JAN_1, "ml"),
    (None, None, "proj_1", None, JAN_1, "ml"),
    (None, None, "proj_2", None, JAN_1, None),  # a label of two nodes
    (None, None, None, None, JAN_1, None),
    ("key_1", None, None, None, JAN_2, None),  # another day than the call's
    (None, None, "proj_1", '{"env": "prod", "user:Cost-Center": "47\\"11"}', JAN_1, "kim"),  # before the account
    (None, None, None, '{"team": "BOT"}', JAN_1, "bot"),  # a level, and a node's name
    (None, None, None, '{"team": "BOT", "cost_center": "top"}', JAN_1, "bot"),  # the deeper one
    (None, None, None, '{"team": "BOT", "cost_center": "47\\"11"}', JAN_1, None),  # two as deep as each other
    (None, None, "proj_1", '{"cost_center": "unknown"}', JAN_1, "ml"),
    (None, None, "sub_9", "{}", JAN_1, "all"),
]
NODES = [
    ("acme", "all", {"cost_center": "top", "subscription_id": "sub_9"}),
    ("acme", "bot", {"api_key_id": "key_1", "project_id": "proj_2"}),
    ("acme", "kim", {"user_id": "user_1", "project_id": "proj_2", "cost_center": '47"11'}),
    ("acme", "ml", {"project_id": "proj_1"}),
    ("globex", "spy", {"api_key_id": "key_2"}),
]


def node(name: str, labels: dict[str, str]) -> dict[str, Any]:
    level, number = ("company", 1) if name == "all" else ("team", 2)
    found: dict[str, Any] = {"org_slug": "x", "node_id": name, "name": name.upper(), "path": name}
    found |= {"level": level, "level_number": number}
    return {**found, "labels": [{"key": key, "value": value} for key, value in labels.items()]}


async def prepare(warehouse: Warehouse) -> None:
    for org in ("acme", "globex"):
        stage = warehouse.stage("organizations", HIERARCHY, f"of_{org}")
        await stage.write(0, [node(name, labels) for owner, name, labels in NODES if owner == org])
        lineage = a_lineage(org_slug=org, pipeline_id="", credential_id="")
        given = {"job_id": org, "dataset": "organizations", "lineage": lineage, "dates": None}
        await warehouse.load(a_load(HIERARCHY, **given), stage)
    fixed = {column.name: FILLERS[column.type] for column in REQUIRED}
    rows = [
        {
            **fixed,
            "x_ApiKeyId": key,
            "x_UserId": user,
            "SubAccountId": project,
            "Tags": tags,
            "x_SourceTable": "bills_raw",
            "x_PriceEffectiveFrom": day,
            "SkuId": node,
        }
        for key, user, project, tags, day, node in CHARGES
    ]
    stage = warehouse.stage("acme_prod", COSTS, "costs")
    await stage.write(0, rows)
    load = a_load(COSTS, job_id="costs", dates=(JAN_1, JAN_2), date_field="x_PriceEffectiveFrom")
    await warehouse.load(load, stage)


@pytest.mark.parametrize(("pipeline", "bill"), [("acme-usage", ""), ("another-pipeline", "bills_raw")])
def test_a_charge_belongs_to_the_node_of_its_key_its_user_its_tags_or_its_account(
    run: Callable[[Body], None], pipeline: str, bill: str
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await prepare(warehouse)
        [procedure] = [each for each in load_procedures(CONFIGS) if each.name == "sp_focus_assign_hierarchy"]
        await warehouse.sync_routines([procedure])
        texts = {"org_slug": "acme", "pipeline_id": pipeline, "credential_id": "c1", "bill_table": bill}
        arguments = {f"p_{name}": Parameter("STRING", value) for name, value in texts.items()}
        arguments |= {f"p_{name}_date": Parameter("DATE", JAN_1) for name in ("start", "end")}
        called = await warehouse.call(ProcedureCall(procedure.name, arguments, scope=SCOPE, job_id="j1"))
        assert called.rows == [{"charges": 12, "assigned": 9}]
        sql = "SELECT SkuId, x_hierarchy_node_id, x_hierarchy_name, x_hierarchy_path FROM cost_data_candidate_1_3"
        found = [tuple(row.values()) for row in (await warehouse.query(Statement(sql, scope=SCOPE))).rows]
        assert len(found) == len(CHARGES)
        for expected, *assigned in found:
            assert assigned == [expected, expected and expected.upper(), expected]

    run(body)
