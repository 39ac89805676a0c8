"""An org's hierarchy: its departments, teams and so on, to which its costs belong."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from typing_extensions import TypedDict

from convergence.domain.hierarchy import LABELS_MAX, NODES_MAX, TEXT_MAX, Hierarchy, Node
from convergence.entry.api.auth import Admin, OrgName, Reader
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.models import Asked
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At
from convergence.tenants.hierarchies import read_hierarchy, store_hierarchy

router = APIRouter(prefix="/organizations/{org}/hierarchy", tags=["organizations"], route_class=StrictRoute)
Text = Annotated[str, Field(max_length=TEXT_MAX)]


class NodeBody(Asked):
    """A node; `parent_id` is empty at the top."""

    node_id: Annotated[str, Field(max_length=100)]
    name: Text
    level: Annotated[str, Field(max_length=50, examples=["team"])]
    parent_id: Annotated[str, Field(max_length=100)] = ""
    labels: Annotated[dict[Annotated[str, Field(max_length=50)], Text], Field(max_length=LABELS_MAX)] = Field(
        default_factory=dict, examples=[{"cost_center": "4711"}]
    )


class HierarchyBody(Asked):
    """The whole hierarchy, which replaces the previous one."""

    nodes: list[NodeBody] = Field(max_length=NODES_MAX)


class NodeAnswer(TypedDict):
    """A node."""

    node_id: str
    name: str
    level: str
    parent_id: str
    labels: dict[str, str]


class HierarchyAnswer(TypedDict):
    """The levels from the top, and all nodes."""

    levels: list[str]
    nodes: list[NodeAnswer]


class PathAnswer(TypedDict):
    """The nodes from the top to the one that was looked for."""

    path: list[NodeAnswer]


@router.get("", response_model=HierarchyAnswer, responses=documented(404))
async def get(org: OrgName, at: At, _: Reader) -> Json:
    """Return the org's hierarchy."""
    await at.services.orgs.get(org)
    return Json((await read_hierarchy(at.services.documents, org)).to_data())


@router.put("", response_model=HierarchyAnswer, responses=documented(404, 409))
async def put(org: OrgName, body: HierarchyBody, at: At, _: Admin) -> Json:
    """Replace the org's hierarchy. All nodes of a level are equally deep; every mistake is named."""
    await at.services.orgs.get(org)
    hierarchy = Hierarchy(Node(**each.model_dump()) for each in body.nodes)
    await store_hierarchy(at.services.documents, org, hierarchy)
    return Json(hierarchy.to_data())


@router.get("/lookup", response_model=PathAnswer, responses=documented(404))
async def lookup(
    org: OrgName,
    at: At,
    _: Reader,
    label: Annotated[str, Query(max_length=50, examples=["cost_center"])],
    value: Annotated[str, Query(max_length=TEXT_MAX, examples=["4711"])],
) -> Json:
    """Find the node that a label's value means: a level with its id or name, or a label of its own."""
    await at.services.orgs.get(org)
    hierarchy = await read_hierarchy(at.services.documents, org)
    return Json({"path": [node.to_data() for node in hierarchy.path_of(hierarchy.find(label, value))]})
