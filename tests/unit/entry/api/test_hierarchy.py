"""Hierarchies over the API."""

from __future__ import annotations

from typing import Any

from tests.unit.entry.api.conftest import Api, RunScenario

PATH = "/organizations/acme/hierarchy"
NODES: list[dict[str, Any]] = [
    {"node_id": "eng", "name": "Engineering", "level": "department"},
    {"node_id": "ml", "name": "Models", "level": "team", "parent_id": "eng", "labels": {"cost_center": "4711"}},
]


def test_a_hierarchy_is_replaced_read_and_searched(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        assert (await api.ask("GET", PATH, org="acme")).json() == {"levels": [], "nodes": []}
        stored = await api.ask("PUT", PATH, org="acme", json={"nodes": NODES})
        assert (stored.status_code, stored.json()["levels"]) == (200, ["department", "team"])
        assert (await api.ask("GET", PATH, org="acme")).json() == stored.json()
        found = await api.ask("GET", f"{PATH}/lookup", org="acme", params={"label": "cost_center", "value": "4711"})
        assert [node["node_id"] for node in found.json()["path"]] == ["eng", "ml"]
        missing = await api.ask("GET", f"{PATH}/lookup", org="acme", params={"label": "cost_center", "value": "1"})
        assert missing.status_code == 404

    run_scenario(scenario)


def test_what_does_not_fit_is_refused_and_changes_nothing(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await api.ask("PUT", PATH, org="acme", json={"nodes": NODES})
        for nodes in (
            [{**NODES[1], "parent_id": "eg"}],
            [{**NODES[0], "colour": "red"}],
            [{**NODES[0], "name": "x" * 201}],
        ):
            assert (await api.ask("PUT", PATH, org="acme", json={"nodes": nodes})).status_code in {400, 422}
        assert len((await api.ask("GET", PATH, org="acme")).json()["nodes"]) == 2

    run_scenario(scenario)


def test_another_org_neither_reads_nor_writes_it(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await api.ask("PUT", PATH, org="acme", json={"nodes": NODES})
        for method, path in (("GET", PATH), ("PUT", PATH), ("GET", f"{PATH}/lookup?label=team&value=ml")):
            answer = await api.ask(method, path, org="globex", json={"nodes": []} if method == "PUT" else None)
            assert answer.status_code in {403, 404}
        assert len((await api.ask("GET", PATH, org="acme")).json()["nodes"]) == 2

    run_scenario(scenario, orgs=("acme", "globex"))
