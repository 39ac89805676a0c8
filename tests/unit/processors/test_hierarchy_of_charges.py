"""FOCUS charges carry the node of the org's hierarchy that they belong to."""

from __future__ import annotations

import asyncio
from pathlib import Path

from convergence.domain.hierarchy import Hierarchy, Node
from convergence.tenants.hierarchies import store_hierarchy
from tests.unit.processors.installation import ORG, Here, days, installed
from tests.unit.processors.step_world import FIRST

CHARGES = "SELECT SubAccountId, x_ApiKeyId, x_hierarchy_node_id, x_hierarchy_path FROM cost_data_standard_1_3"


async def consolidated(here: Here) -> list[tuple[str | None, str | None, str | None, str | None]]:
    await here.good("openai/cost/usage_cost", api_base_url=here.url, **days(FIRST, FIRST))
    rows = await here.rows(CHARGES)
    return [tuple(row.values()) for row in rows]


def test_a_charge_belongs_to_the_node_with_its_key_or_its_project(tmp_path: Path) -> None:
    async def main() -> None:
        async with installed(tmp_path) as here:
            await here.set_up("openai")
            before = await consolidated(here)
            assert {row[2:] for row in before} == {(None, None)}
            project, key = next((row[0], row[1]) for row in before if row[0] and row[1])
            nodes = (
                Node(node_id="eng", name="Engineering", level="department"),
                Node(node_id="ml", name="Models", level="team", parent_id="eng", labels={"project_id": project}),
                Node(node_id="bot", name="Bot", level="team", parent_id="eng", labels={"api_key_id": key}),
            )
            await store_hierarchy(here.installation.services.documents, ORG, Hierarchy(nodes))
            after = await consolidated(here)
            assert len(after) == len(before)
            for of_project, of_key, node, path in after:
                expected = "bot" if of_key == key else "ml" if of_project == project else None
                assert node == expected
                assert path == {"bot": "Engineering / Bot", "ml": "Engineering / Models", None: None}[expected]
            assert {row[2] for row in after if row[2]} == {"bot", "ml"}
            await here.good("genai/unified/consolidate", **days(FIRST, FIRST))
            unified = await here.rows("SELECT * FROM genai_usage_cost_daily_unified WHERE row_kind = 'charge'")
            assert {row["service"] for row in unified} == {"OpenAI API"}
            nodes_of = {(row["project_id"], row["api_key_id"]): row["hierarchy_node_id"] for row in unified}
            assert (
                nodes_of.items()
                >= {(of_project, of_key): node for of_project, of_key, node, _ in after if of_key}.items()
            )
            assert {row["hierarchy_path"] for row in unified} >= {"Engineering / Bot", "Engineering / Models"}

    asyncio.run(main())
