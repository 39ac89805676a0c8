"""Hierarchies of orgs as documents, one for each org: it changes as a whole."""

from __future__ import annotations

from typing import Final

from convergence.domain.hierarchy import Hierarchy
from convergence.errors import Conflict
from convergence.ports.documents import Create, Documents, Replace

_ATTEMPTS: Final = 5


def hierarchy_path(org: str) -> str:
    """Return the path of an org's hierarchy."""
    return f"orgs/{org}/hierarchy/current"


async def read_hierarchy(documents: Documents, org: str) -> Hierarchy:
    """Return an org's hierarchy; one without nodes where none is stored."""
    document = await documents.get(hierarchy_path(org))
    return Hierarchy.from_data(document.data if document is not None else {"nodes": []})


async def store_hierarchy(documents: Documents, org: str, hierarchy: Hierarchy) -> None:
    """Replace an org's hierarchy. Raises `Conflict` when other writers keep coming first."""
    path = hierarchy_path(org)
    for _ in range(_ATTEMPTS):
        known = await documents.get(path)
        data = hierarchy.to_data()
        try:
            await documents.commit([Create(path, data) if known is None else Replace(path, known.version, data)])
        except Conflict:
            continue
        return
    raise Conflict(f"the hierarchy of {org} is being changed by others; try again")
