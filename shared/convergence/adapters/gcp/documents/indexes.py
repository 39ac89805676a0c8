"""Indexes as Firestore needs them declared, in the shape of `firestore.indexes.json`.

Firestore answers no query without an index. It makes one for each field by itself; those of several fields are
declared, and collections of large documents switch the automatic ones off: each costs time at every write, and a
document may have 40,000 index entries at most (quotas).
Shape: https://firebase.google.com/docs/reference/firestore/indexes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from convergence.adapters.gcp.documents.values import SHARD, path_of
from convergence.ports.documents import Index


def index_file(indexes: Iterable[Index], unindexed: Iterable[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """Return `indexes` (of several fields) and `fieldOverrides` (of single ones).

    Args:
        indexes: What queries use; each serves both directions of its last field.
        unindexed: Collection names whose fields get no automatic index.
    """
    composite: list[dict[str, Any]] = []
    overrides = [_override(collection, "*", []) for collection in unindexed]
    everything = set(unindexed)
    for index in indexes:
        if index.sharded:
            if index.collection not in everything:  # shards exist to avoid an index of the field alone
                overrides.append(_override(index.collection, path_of(*index.fields[-1].split(".")), []))
            composite += _both_directions(index._replace(fields=(SHARD, *index.fields)))
        elif len(index.fields) > 1:
            composite += [_composite(index, "")] if index.array else _both_directions(index)
        elif index.collection in everything:
            overrides.append(_override(index.collection, _path(index.fields[0]), ["ASCENDING", "DESCENDING"]))
            if index.descending:  # in the field's own index the names descend as well
                composite.append(_composite(index, "DESCENDING"))
    return {"indexes": composite, "fieldOverrides": overrides}


def _both_directions(index: Index) -> list[dict[str, Any]]:
    """Return two indexes: the name, which orders equal documents, is always ascending."""
    return [_composite(index, "ASCENDING"), _composite(index, "DESCENDING")]


def _composite(index: Index, last: str) -> dict[str, Any]:
    fields: list[Mapping[str, str]] = []
    for field in index.fields:
        if field == index.array:
            fields.append({"fieldPath": _path(field), "arrayConfig": "CONTAINS"})
        else:
            fields.append({"fieldPath": _path(field), "order": "ASCENDING"})
    if last == "DESCENDING":
        fields[-1] = {"fieldPath": _path(index.fields[-1]), "order": last}
        fields.append({"fieldPath": "__name__", "order": "ASCENDING"})
    return {"collectionGroup": index.collection, "queryScope": "COLLECTION", "fields": fields}


def _override(collection: str, path: str, orders: Iterable[str]) -> dict[str, Any]:
    indexes = [{"order": order, "queryScope": "COLLECTION"} for order in orders]
    return {"collectionGroup": collection, "fieldPath": path, "indexes": indexes}


def _path(field: str) -> str:
    return SHARD if field == SHARD else path_of(*field.split("."))
