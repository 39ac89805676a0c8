"""Field transforms of the Firestore test server."""

from __future__ import annotations

from typing import Any

from tests.emulators.firestore_values import assign, invalid, key, lookup, rank

_NUMBER = 2


def transformed(document: Any, transform: Any, at: int) -> Any:
    """Apply one transform in place and return its result, a Value."""
    kind = transform.WhichOneof("transform_type")
    value_type = type(document).DESCRIPTOR.fields_by_name["fields"].message_type.fields_by_name["value"]
    result = value_type.message_type._concrete_class()  # noqa: SLF001 - protobuf names it nowhere else
    old = lookup(document, transform.field_path)
    if kind == "set_to_server_value":
        result.timestamp_value.seconds, result.timestamp_value.nanos = at // 1_000_000, at % 1_000_000 * 1000
    elif kind in {"increment", "maximum", "minimum"}:
        _number(result, old, getattr(transform, kind), kind)
    elif kind in {"append_missing_elements", "remove_all_from_array"}:
        items = [] if old is None else list(old.array_value.values)
        given = getattr(transform, kind).values
        if kind == "append_missing_elements":
            for item in given:
                if key(item) not in {key(each) for each in items}:
                    items.append(item)
        else:
            gone = {key(item) for item in given}
            items = [item for item in items if key(item) not in gone]
        result.array_value.values.extend(items)
    else:
        raise invalid("a transform without a type")
    assign(document, transform.field_path, result)
    if kind in {"append_missing_elements", "remove_all_from_array"}:
        result = type(result)(null_value=0)
    return result


def _number(result: Any, old: Any | None, given: Any, kind: str) -> None:
    if old is None or rank(old) != _NUMBER:
        result.CopyFrom(given)
        return
    numbers = [getattr(value, value.WhichOneof("value_type")) for value in (old, given)]
    made = sum(numbers) if kind == "increment" else max(numbers) if kind == "maximum" else min(numbers)
    if isinstance(made, int):
        result.integer_value = min(max(made, -(2**63)), 2**63 - 1)
    else:
        result.double_value = made
