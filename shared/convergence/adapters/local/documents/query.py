"""Queries on documents as SQL. Field names are checked and become JSON paths; values are always parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from convergence.ports.documents import Order, Where

_FIELD: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[A-Za-z0-9_]+)*")
_COLLECTION: Final = re.compile(r"[A-Za-z0-9_\-.~/]+")
_COMPARISONS: Final = {"==": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


@dataclass(frozen=True, slots=True)
class Query:
    """A port query; builds its SQL."""

    collection: str
    where: tuple[Where, ...]
    order: tuple[Order, ...]

    @property
    def descending(self) -> bool:
        """Whether the last field of the order is descending."""
        return bool(self.order) and self.order[-1].descending

    def select(self, limit: int, after: Sequence[Any] | None, index: str | None) -> tuple[str, list[Any]]:
        """Return SQL for rows (id, version, body, *order values).

        `after` is the last row's order values and id, `index` the name of the index to use.
        """
        condition, values = self._condition()
        keys = [(extract(order.field), order.descending) for order in self.order]
        if after is not None:
            more, more_values = _behind([*keys, ("id", False)], after)
            condition += more
            values += more_values
        columns = ", ".join(["id", "version", "body", *(key for key, _ in keys)])
        order_by = ", ".join([*(f"{key} DESC" if descending else key for key, descending in keys), "id"])
        sql = f"SELECT {columns} FROM {_source(index)} WHERE {condition}"  # noqa: S608 - names checked, values bound
        return f"{sql} ORDER BY {order_by} LIMIT {int(limit)}", values

    def count(self, index: str | None) -> tuple[str, list[Any]]:
        """Return SQL for the number of matches."""
        condition, values = self._condition()
        sql = f"SELECT COUNT(*) FROM {_source(index)} WHERE {condition}"  # noqa: S608 - names checked, values bound
        return sql, values

    def _condition(self) -> tuple[str, list[Any]]:
        # SQLite takes a partial index only for a query that repeats the index's own condition, constants and all.
        parts, values = [f"collection = {collection_literal(self.collection)}"], []
        compared = [where.field for where in self.where if where.operator != "array-contains"]
        parts += [is_there(field) for field in dict.fromkeys([*compared, *(order.field for order in self.order)])]
        for field, operator, value in self.where:
            if operator == "in":
                parts.append(f"{extract(field)} IN ({', '.join('?' * len(value))})")
                values.extend(value)
            elif operator == "array-contains":
                members = f"json_each(body, '{_json_path(field)}')"
                parts.append(f"EXISTS (SELECT 1 FROM {members} WHERE value = ?)")  # noqa: S608 - as above
                values.append(value)
            else:
                parts.append(f"{extract(field)} {_COMPARISONS[operator]} ?")
                values.append(value)
        return " AND ".join(parts), values


def _behind(keys: Sequence[tuple[str, bool]], after: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return the keyset condition `(k1, k2, …) after after`, each key with its own direction."""
    cases, values = [], []
    for depth, (key, descending) in enumerate(keys):
        equal = [f"{keys[i][0]} = ?" for i in range(depth)]
        cases.append("(" + " AND ".join([*equal, f"{key} {'<' if descending else '>'} ?"]) + ")")
        values += [*after[:depth], after[depth]]
    first, descending = keys[0]
    bound = f" AND {first} {'<=' if descending else '>='} ?"  # lets the index start at the right place
    return f"{bound} AND ({' OR '.join(cases)})", [after[0], *values]


def extract(field: str) -> str:
    """Return the expression of a field's value."""
    return f"json_extract(body, '{_json_path(field)}')"


def is_there(field: str) -> str:
    """Return the condition that a document has a value in the field."""
    return f"{extract(field)} IS NOT NULL"


def collection_literal(name: str) -> str:
    """Return a collection's name as a literal."""
    assert _COLLECTION.fullmatch(name), f"not a collection: {name!r}"
    return f"'{name}'"


def _source(index: str | None) -> str:
    return "documents" if index is None else f"documents INDEXED BY {index}"


def _json_path(field: str) -> str:
    assert _FIELD.fullmatch(field), f"not a field path: {field!r}"
    return "$." + ".".join(f'"{part}"' for part in field.split("."))
