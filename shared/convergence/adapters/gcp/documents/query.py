"""The port's queries as Firestore's.

Firestore puts null first and the port leaves it out, so an ordered field is filtered by "not null". The name comes last
in the order, ascending, as in the port; Firestore's own choice is the direction of the last field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.cloud.firestore_v1.types import firestore
from google.cloud.firestore_v1.types import query as messages

from convergence.adapters.gcp.documents.shards import SHARDS
from convergence.adapters.gcp.documents.values import SHARD, item_of, path_of, put
from convergence.errors import InvalidInput
from convergence.ports.documents import Operator, Order, Where

RANGES: Final = ("<", "<=", ">", ">=")
IN_MAX: Final = 30  # Firestore, queries: limits on OR queries

_Query: Final = messages.StructuredQuery
_Message: Final = _Query.pb()
_OPERATORS: Final[dict[Operator, int]] = {
    "==": _Query.FieldFilter.Operator.EQUAL,
    "<": _Query.FieldFilter.Operator.LESS_THAN,
    "<=": _Query.FieldFilter.Operator.LESS_THAN_OR_EQUAL,
    ">": _Query.FieldFilter.Operator.GREATER_THAN,
    ">=": _Query.FieldFilter.Operator.GREATER_THAN_OR_EQUAL,
    "in": _Query.FieldFilter.Operator.IN,
    "array-contains": _Query.FieldFilter.Operator.ARRAY_CONTAINS,
}
_DIRECTIONS: Final = (_Query.Direction.ASCENDING, _Query.Direction.DESCENDING)
Row = tuple[tuple[Any, ...], Any]  # order values and id; the document's message


@dataclass(frozen=True, slots=True)
class Query:
    """A port query on one collection; `root` is the prefix of all names, `sharded`: its index is in shards."""

    root: str
    collection: str
    where: tuple[Where, ...] = ()
    order: tuple[Order, ...] = ()
    sharded: bool = False

    def empty(self) -> bool:
        """Return whether nothing can match because of an `in` with an empty list."""
        return any(each.operator == "in" and not each.value for each in self.where)

    def fields(self) -> frozenset[str]:
        """Return the fields that the query names."""
        return frozenset([each.field for each in self.order] + [each.field for each in self.where])

    def page(self, limit: int, after: Sequence[Any] | None) -> Any:
        """Return the request for at most `limit` documents after `after` (order values and id)."""
        request = firestore.RunQueryRequest.pb()(parent=self._parent())
        query = request.structured_query
        self._filtered(query)
        for order in self.order:
            field = query.order_by.add(direction=_DIRECTIONS[order.descending])
            field.field.field_path = _path(order.field)
        query.order_by.add(direction=_DIRECTIONS[False]).field.field_path = "__name__"
        if after is not None:
            query.start_at.before = False
            for value in after[:-1]:
                put(query.start_at.values.add(), value)
            query.start_at.values.add().reference_value = f"{self.root}/{self.collection}/{after[-1]}"
        query.limit.value = limit
        return request

    def counted(self) -> Any:
        """Return the request for the number of matches."""
        request = firestore.RunAggregationQueryRequest.pb()(parent=self._parent())
        query = request.structured_aggregation_query
        self._filtered(query.structured_query)
        query.aggregations.add(alias="n").count.SetInParent()
        return request

    def row(self, document: Any) -> Row:
        """Return the position of a found document in the order, and the document."""
        name = document.name.rpartition("/")[2]
        return (*(_lookup(document.fields, order.field) for order in self.order), name), document

    def _parent(self) -> str:
        parent, _, _ = self.collection.rpartition("/")
        return f"{self.root}/{parent}" if parent else self.root

    def _filtered(self, query: Any) -> None:
        query.from_.add(collection_id=self.collection.rpartition("/")[2])
        filters = [_filter(each) for each in self.where]
        asked = {each.field for each in self.where}
        filters += [_not_null(order.field) for order in self.order if order.field not in asked]
        if self.sharded:
            filters.append(_compared(SHARD, "in", list(range(SHARDS))))
        if len(filters) == 1:
            query.where.CopyFrom(filters[0])
        elif filters:
            query.where.composite_filter.op = _Query.CompositeFilter.Operator.AND
            query.where.composite_filter.filters.extend(filters)


def _filter(where: Where) -> Any:
    if where.operator == "in" and len(where.value) > IN_MAX:
        raise InvalidInput(f"a query may name at most {IN_MAX} values of {where.field}; split the query")
    return _compared(_path(where.field), where.operator, where.value)


def _compared(path: str, operator: Operator, value: Any) -> Any:
    made = _Query.Filter.pb()()
    made.field_filter.field.field_path = path
    made.field_filter.op = _OPERATORS[operator]
    put(made.field_filter.value, value)
    return made


def _not_null(field: str) -> Any:
    made = _Query.Filter.pb()()
    made.unary_filter.field.field_path = _path(field)
    made.unary_filter.op = _Query.UnaryFilter.Operator.IS_NOT_NULL
    return made


def _path(field: str) -> str:
    return path_of(*field.split("."))


def _lookup(fields: Any, field: str) -> Any:
    """Return the value that a document was ordered by."""
    *parents, last = field.split(".")
    for parent in parents:
        fields = fields[parent].map_value.fields
    return item_of(fields[last])
