"""Firestore's composite indexes. Shape: Firestore REST reference, `collectionGroups.indexes.list`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from convergence.adapters.gcp.deployment.rest import Rest
from convergence.domain.finding import Finding
from convergence.ports.deployment import Deployment

_NAME: Final = "__name__"
_SHOWN: Final = 5


async def indexes(at: Deployment, rest: Rest) -> Finding:
    """Compare the composite indexes; one that is still being built is a fault, because queries fail until then."""
    states: dict[str, str] = {}
    async for each in rest.pages(f"{_groups(at)}/indexes", "indexes", pageSize="300"):
        states[_signature(each, each["name"].split("/collectionGroups/")[1].partition("/")[0])] = each.get("state", "")
    declared = sorted(_signature(each, each["collectionGroup"]) for each in at.declared.indexes)
    missing = [each for each in declared if each not in states]
    if missing:
        return Finding("indexes", f"missing: {_some(missing)}", "apply infra/ (make deploy)")
    waiting = [each for each in declared if states[each] != "READY"]
    if waiting:
        return Finding(
            "indexes", f"not ready: {_some(waiting)}", "wait until Firestore has built them; see its console"
        )
    return Finding("indexes", f"{len(declared)} are ready")


def _groups(at: Deployment) -> str:
    return f"https://firestore.googleapis.com/v1/projects/{at.project}/databases/{at.database}/collectionGroups/-"


def _signature(index: Mapping[str, Any], collection: str) -> str:
    """Return an index as text, with the name that Firestore appends in the direction of the last field."""
    fields = [(each["fieldPath"], each.get("order") or each.get("arrayConfig", "")) for each in index["fields"]]
    if fields[-1][0] != _NAME:
        fields.append((_NAME, "DESCENDING" if fields[-1][1] == "DESCENDING" else "ASCENDING"))
    return f"{collection}({', '.join(f'{path} {direction}' for path, direction in fields)})"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
