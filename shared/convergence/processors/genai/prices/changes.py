"""The changes that a newly published price list makes to an org's list. Pure.

A published list has the prices of today, but seldom the dates from which they hold. So a price that differs without
having a date holds from the day of the comparison, and the earlier one until then: past days keep their prices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from convergence.ports.warehouse import Row

ADDED, CHANGED, DATED, GONE = "added", "changed", "dated", "gone"
KEY: Final = ("model", "kind", "processing", "region", "above_input_tokens")
_VALUES: Final = ("price", "unit", "currency", "effective_from", "effective_to")


def merged(
    seeded: Iterable[Row], published: Iterable[Row], today: date
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the new list, and its changes: KEY, `change`, `before`, `after` and the day from which it holds.

    `change`: `added`; `changed` (from `today` on); `dated` (by the published list); `gone` (no longer published: it
    stays in the list, as past days need it).
    """
    old, new = _by_key(seeded), _by_key(published)
    words = {row["model"]: row["model_match"] for rows in new.values() for row in rows}
    rows: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    for key in sorted(old.keys() | new.keys(), key=str):
        kept, change = _timeline(old.get(key, []), new.get(key, []), today)
        rows += [{**row, "model_match": words.get(row["model"], row["model_match"])} for row in kept]
        if change:
            before, after = (_on(side.get(key, []), today) for side in (old, new))
            prices = {"before": before and before["price"], "after": after and after["price"]}
            since = today if change == CHANGED else None if change == GONE else kept[-1]["effective_from"]
            changes.append({**dict(zip(KEY, key, strict=True)), "change": change, **prices, "effective_from": since})
    return rows, changes


def _timeline(old: Sequence[Row], new: Sequence[Row], today: date) -> tuple[Sequence[Row], str]:
    """Return the rows of one key, oldest first, and the change."""
    if not old or not new:
        return (old, GONE) if old else (new, ADDED)
    before, after = _on(old, today), _on(new, today)
    if _values(old) == _values(new) or after is None:
        return old, ""
    if {row["effective_from"] for row in new} - {row["effective_from"] for row in old} - {None}:
        return new, DATED
    if before is not None and all(before[name] == after[name] for name in ("price", "unit", "currency")):
        return old, ""
    past = [row for row in old if row["effective_to"] is not None and row["effective_to"] <= today]
    if before is not None and before["effective_from"] != today:
        past.append({**before, "effective_to": today})
    return [*past, {**after, "effective_from": today, "effective_to": None}], CHANGED


def _by_key(rows: Iterable[Row]) -> Mapping[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["effective_from"] or date.min):
        found[tuple(row.get(name) or ("" if name == "region" else 0) for name in KEY)].append(row)
    return found


def _values(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in _VALUES) for row in rows]


def _on(rows: Sequence[Row], day: date) -> Row | None:
    for row in rows:
        if (row["effective_from"] or date.min) <= day and (row["effective_to"] is None or day < row["effective_to"]):
            return row
    return None
