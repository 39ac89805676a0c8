"""Structured queries of the Firestore test server: filters, order, cursors, offset, limit, projection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from google.cloud.firestore_v1.types import query as queries

from tests.emulators.firestore_store import Store
from tests.emulators.firestore_values import invalid, key, lookup, members, projected, rank

NAME: Final = "__name__"
_Op = queries.StructuredQuery.FieldFilter.Operator
_Unary = queries.StructuredQuery.UnaryFilter.Operator
_OR: Final = int(queries.StructuredQuery.CompositeFilter.Operator.OR)
_DESCENDING: Final = int(queries.StructuredQuery.Direction.DESCENDING)
_RANGES: Final[dict[int, Callable[[Any, Any], bool]]] = {
    _Op.LESS_THAN: lambda a, b: a < b,
    _Op.LESS_THAN_OR_EQUAL: lambda a, b: a <= b,
    _Op.GREATER_THAN: lambda a, b: a > b,
    _Op.GREATER_THAN_OR_EQUAL: lambda a, b: a >= b,
}
INEQUALITIES: Final = {*_RANGES, _Op.NOT_EQUAL, _Op.NOT_IN}
_IN_MAX: Final = 30


class Sort(NamedTuple):
    """One field of the order."""

    path: str
    descending: bool


def leaves(condition: Any) -> list[Any]:
    """Return the field and unary filters of a filter, through `and` and `or`."""
    kind = condition.WhichOneof("filter_type")
    if kind is None:
        return []
    if kind == "composite_filter":
        return [leaf for each in condition.composite_filter.filters for leaf in leaves(each)]
    return [getattr(condition, kind)]


def is_inequality(leaf: Any) -> bool:
    """Say whether a filter is a range, or excludes values."""
    if hasattr(leaf, "value"):
        return leaf.op in INEQUALITIES
    return leaf.op in {_Unary.IS_NOT_NULL, _Unary.IS_NOT_NAN}


def orders(query: Any) -> list[Sort]:
    """Return the order with its implicit part: the fields of ranges, then the name in the last direction."""
    found = [Sort(order.field.field_path, order.direction == _DESCENDING) for order in query.order_by]
    last = found[-1].descending if found else False
    ranged = {leaf.field.field_path for leaf in leaves(query.where) if is_inequality(leaf)}
    found += [Sort(path, last) for path in sorted(ranged - {sort.path for sort in found} - {NAME})]
    if NAME not in {sort.path for sort in found}:
        found.append(Sort(NAME, found[-1].descending if found else False))
    return found


class _Reversed:
    """A key that sorts backwards."""

    __slots__ = ("key",)

    def __init__(self, wrapped: Any) -> None:
        self.key = wrapped

    def __lt__(self, other: _Reversed) -> bool:
        return bool(other.key < self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and bool(self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)


def run(store: Store, parent: str, query: Any) -> tuple[list[Any], int]:
    """Return the documents of a query, and how many its offset skipped."""
    sorts = orders(query)
    found = []
    for document in _candidates(store, parent, query):
        if query.HasField("where") and not _matches(document, query.where):
            continue
        place = _place(document, sorts)
        if place is not None:
            found.append((place, document))
    found.sort(key=lambda each: each[0])
    if query.HasField("start_at"):
        begin = _cursor(query.start_at, sorts)
        found = [
            each
            for each in found
            if (each[0][: len(begin)] > begin or (query.start_at.before and each[0][: len(begin)] == begin))
        ]
    if query.HasField("end_at"):
        end = _cursor(query.end_at, sorts)
        found = [
            each
            for each in found
            if (each[0][: len(end)] < end or (not query.end_at.before and each[0][: len(end)] == end))
        ]
    skipped = min(query.offset, len(found))
    found = found[skipped:]
    if query.HasField("limit"):
        found = found[: query.limit.value]
    documents = [document for _, document in found]
    if query.HasField("select"):
        paths = [field.field_path for field in query.select.fields]
        documents = [projected(document, paths) for document in documents]
    return documents, skipped


def _candidates(store: Store, parent: str, query: Any) -> Sequence[Any]:
    selected = query.from_
    if len(selected) != 1:
        raise invalid("a query has one collection")
    if selected[0].all_descendants:
        ending = "/" + selected[0].collection_id
        return [
            document
            for name, each in store.collections.items()
            if name.startswith(parent + "/") and name.endswith(ending)
            for document in each.values()
        ]
    collection = f"{parent}/{selected[0].collection_id}"
    equal = [
        store.with_value(collection, leaf.field.field_path, leaf.value)
        for leaf in _required(query)
        if leaf.op == _Op.EQUAL and leaf.field.field_path != NAME
    ]
    return list(min([store.collections.get(collection, {}), *equal], key=len).values())


def _required(query: Any) -> Iterator[Any]:
    """Yield the comparisons with a value that every document of the query satisfies."""
    conditions = [query.where] if query.HasField("where") else []
    while conditions:
        condition = conditions.pop()
        kind = condition.WhichOneof("filter_type")
        if kind == "field_filter":
            yield condition.field_filter
        elif kind == "composite_filter" and condition.composite_filter.op != _OR:
            conditions += condition.composite_filter.filters


def _value(document: Any, path: str) -> Any | None:
    if path != NAME:
        return lookup(document, path)
    return queries.StructuredQuery.FieldFilter.pb()(value={"reference_value": document.name}).value


def _place(document: Any, sorts: Sequence[Sort]) -> tuple[Any, ...] | None:
    """Return where a document sorts; None when it lacks a field of the order."""
    place: list[Any] = []
    for sort in sorts:
        value = _value(document, sort.path)
        if value is None:
            return None
        place.append(_Reversed(key(value)) if sort.descending else key(value))
    return tuple(place)


def _cursor(cursor: Any, sorts: Sequence[Sort]) -> tuple[Any, ...]:
    if len(cursor.values) > len(sorts):
        raise invalid("Cursor has too many values.")
    pairs = zip(cursor.values, sorts, strict=False)
    return tuple(_Reversed(key(value)) if sort.descending else key(value) for value, sort in pairs)


def _matches(document: Any, condition: Any) -> bool:
    kind = condition.WhichOneof("filter_type")
    if kind == "composite_filter":
        outcomes = (_matches(document, each) for each in condition.composite_filter.filters)
        is_or = condition.composite_filter.op == queries.StructuredQuery.CompositeFilter.Operator.OR
        return any(outcomes) if is_or else all(outcomes)
    leaf = getattr(condition, kind)
    value = _value(document, leaf.field.field_path)
    if value is None:
        return False
    if kind == "unary_filter":
        return _unary(value, leaf.op)
    return _field(value, leaf.op, leaf.value)


def _unary(value: Any, op: int) -> bool:
    null = value.WhichOneof("value_type") == "null_value"
    nan = value.WhichOneof("value_type") == "double_value" and value.double_value != value.double_value
    return {_Unary.IS_NULL: null, _Unary.IS_NOT_NULL: not null, _Unary.IS_NAN: nan}.get(op, not nan and not null)


def _field(value: Any, op: int, expected: Any) -> bool:
    if op in _RANGES:
        return rank(value) == rank(expected) and _RANGES[op](key(value), key(expected))
    if op == _Op.EQUAL:
        return key(value) == key(expected)
    if op == _Op.NOT_EQUAL:
        return rank(value) != 0 and key(value) != key(expected)
    if op == _Op.ARRAY_CONTAINS:
        return key(expected) in members(value)
    asked = set(members(expected))
    if not 0 < len(expected.array_value.values) <= _IN_MAX:
        raise invalid(f"'IN' supports 1 to {_IN_MAX} comparison values.")
    if op == _Op.IN:
        return key(value) in asked
    if op == _Op.NOT_IN:
        return rank(value) != 0 and key(value) not in asked
    return any(member in asked for member in members(value))  # ARRAY_CONTAINS_ANY
