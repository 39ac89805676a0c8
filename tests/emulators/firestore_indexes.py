"""Which index a query needs. Google's own emulator serves every query; the service refuses those without an index.

Rules: https://firebase.google.com/docs/firestore/query-data/index-overview. The declared indexes have the shape of
`firestore.indexes.json`. Merging of composite indexes is not modelled: a query may be refused here that the
service would answer, never the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import grpc
from google.cloud.firestore_v1.types import query as queries

from tests.emulators.firestore_query import NAME, Sort, is_inequality, leaves, orders
from tests.emulators.serving import Refused

_Op = queries.StructuredQuery.FieldFilter.Operator
_ARRAY: Final = {_Op.ARRAY_CONTAINS, _Op.ARRAY_CONTAINS_ANY}


class Indexes:
    """Declared indexes: `indexes` are composite, `fieldOverrides` replace the automatic ones of a field."""

    def __init__(self, declared: Mapping[str, Any]) -> None:
        self._composites: dict[str, list[list[tuple[str, str]]]] = {}
        for index in declared.get("indexes", ()):
            fields = [(field["fieldPath"], field.get("order") or "CONTAINS") for field in index["fields"]]
            self._composites.setdefault(index["collectionGroup"], []).append(fields)
        self._overrides = {
            (override["collectionGroup"], override["fieldPath"]): {
                index.get("order") or "CONTAINS" for index in override["indexes"]
            }
            for override in declared.get("fieldOverrides", ())
        }

    def check(self, query: Any) -> None:
        """Refuse a query that no index serves."""
        collection = query.from_[0].collection_id
        found = leaves(query.where)
        arrays = {leaf.field.field_path for leaf in found if hasattr(leaf, "value") and leaf.op in _ARRAY}
        equal = {leaf.field.field_path for leaf in found if not is_inequality(leaf)} - arrays - {NAME}
        sorts = [sort for sort in orders(query) if sort.path not in equal]
        ordered = [sort for sort in sorts if sort.path != NAME]
        if not ordered and not arrays and all(self._has(collection, path, "ASCENDING") for path in equal):
            return  # nothing, or equality alone: indexes of single fields are merged
        if not ordered and not equal and len(arrays) == 1 and self._has(collection, next(iter(arrays)), "CONTAINS"):
            return
        alone = len(ordered) == 1 and not equal and not arrays and sorts[-1].descending == ordered[0].descending
        if alone and self._has(collection, ordered[0].path, _direction(ordered[0])):
            return
        if not any(_serves(fields, equal, arrays, sorts) for fields in self._composites.get(collection, ())):
            shown = [*sorted(equal), *sorted(arrays), *(f"{sort.path} {_direction(sort)}" for sort in ordered)]
            raise Refused(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"The query requires an index. Collection {collection}: {', '.join(shown)}",
            )

    def _has(self, collection: str, path: str, mode: str) -> bool:
        """Say whether a field has an automatic or declared index of its own."""
        for name in (path, "*"):
            if (collection, name) in self._overrides:
                return mode in self._overrides[collection, name]
        return True


def _serves(fields: list[tuple[str, str]], equal: set[str], arrays: set[str], sorts: list[Sort]) -> bool:
    """Say whether an index has the equal fields first, in any order, then exactly the order asked for."""
    head = [field for field in fields if field[0] in equal or (field[0] in arrays and field[1] == "CONTAINS")]
    tail = fields[len(head) :]
    if fields[: len(head)] != head or {name for name, _ in head} != equal | arrays:
        return False
    if not tail or tail[-1][0] != NAME:  # implied: the name in the direction of the last field
        tail = [*tail, (NAME, fields[-1][1] if fields[-1][1] != "CONTAINS" else "ASCENDING")]
    asked = [(sort.path, _direction(sort)) for sort in sorts]
    return tail == asked or (tail[:-1] == [] and len(asked) == 1)


def _direction(sort: Sort) -> str:
    return "DESCENDING" if sort.descending else "ASCENDING"
