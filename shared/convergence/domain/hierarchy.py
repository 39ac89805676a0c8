"""An org's hierarchy: who its costs belong to, as a tree of nodes (a department, a team, …).

Levels follow from the nodes: all nodes of a level are equally deep. A node is found by its level (`team` = its id or
name) and by its labels (`cost_center` = 4711).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from convergence.domain.records import from_stored
from convergence.errors import InvalidInput, NotFound, did_you_mean

NODES_MAX: Final = 2_000
LEVELS_MAX: Final = 10
LABELS_MAX: Final = 20  # of a node
TEXT_MAX: Final = 200  # characters of a name or a label's value
SIZE_MAX: Final = 800_000  # characters of all of it: a document holds 1 MiB
_MISTAKES: Final = 10  # that are named
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_LABEL: Final = re.compile(r"[a-z][a-z0-9_]{0,49}")
COLUMNS: Final = ("node_id", "name", "level", "parent_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One of an org's parts. `parent_id` is empty for those at the top; `level` names its kind."""

    node_id: str
    name: str
    level: str
    parent_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        return {name: getattr(self, name) for name in COLUMNS} | {"labels": dict(self.labels)}

    def answers(self, label: str, value: str) -> bool:
        """Return whether it is what a label's value means."""
        return self.labels.get(label) == value or (label == self.level and value in {self.node_id, self.name})


class Hierarchy:
    """Nodes that fit together."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        """Raise `InvalidInput` with the first mistakes where the nodes make no hierarchy."""
        self.nodes = tuple(nodes)
        self._by_id = {node.node_id: node for node in self.nodes}
        mistakes = list(dict.fromkeys([*_of_nodes(self.nodes), *_of_parents(self.nodes, self._by_id)]))
        self._depths = {} if mistakes else {node.node_id: len(self.path_of(node)) for node in self.nodes}
        depths: dict[str, int] = {}
        mistakes += [
            f"{node.node_id}: nodes of the level {node.level!r} are not all equally deep"
            for node in (self.nodes if self._depths else ())
            if depths.setdefault(node.level, self._depths[node.node_id]) != self._depths[node.node_id]
        ]
        levels = sorted(depths, key=depths.__getitem__)
        if len(set(depths.values())) != len(depths):
            mistakes.append(f"two levels are equally deep: {', '.join(levels)}")
        if len(levels) > LEVELS_MAX:
            mistakes.append(f"{len(levels)} levels are more than {LEVELS_MAX}")
        if mistakes:
            more = f"; and {len(mistakes) - _MISTAKES} more" if len(mistakes) > _MISTAKES else ""
            listed = "; ".join(mistakes[:_MISTAKES]) + more
            raise InvalidInput(f"The hierarchy is wrong: {listed}" + ("" if listed.endswith("?") else "."))
        self.levels = tuple(levels)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`). Raises as the constructor does."""
        return cls(from_stored(Node, each) for each in data["nodes"])

    def to_data(self) -> dict[str, Any]:
        """Return JSON; `levels` from the top."""
        return {"levels": list(self.levels), "nodes": [node.to_data() for node in self.nodes]}

    def depth(self, node: Node) -> int:
        """Return the number of a node's level, 1 at the top."""
        return self._depths[node.node_id]

    def path_of(self, node: Node) -> list[Node]:
        """Return the nodes from the top to this one."""
        path = [node]
        while path[0].parent_id:
            path.insert(0, self._by_id[path[0].parent_id])
        return path

    def find(self, label: str, value: str) -> Node:
        """Return the node that a label's value means.

        Raises:
            NotFound: there is none; the nearest label or value is named.
            InvalidInput: there are several.
        """
        found = [node for node in self.nodes if node.answers(label, value)]
        if len(found) > 1:
            both = ", ".join(node.node_id for node in found[:3])
            raise InvalidInput(
                f"{label}={value} matches {len(found)} nodes: {both}. Give each node a value of its own."
            )
        if found:
            return found[0]
        labels = {*self.levels, *(label for node in self.nodes for label in node.labels)}
        if label not in labels:
            raise NotFound(f"No node has a label {label!r}.{did_you_mean(label, labels)}")
        values = {node.labels.get(label, node.name) for node in self.nodes if label in {node.level, *node.labels}}
        raise NotFound(f"No node has {label}={value}.{did_you_mean(value, values)}")


def _of_nodes(nodes: tuple[Node, ...]) -> list[str]:
    """Return what is wrong with single nodes."""
    mistakes = []
    if len(nodes) > NODES_MAX:
        return [f"{len(nodes)} nodes are more than {NODES_MAX}"]
    if sum(len(str(node.to_data())) for node in nodes) > SIZE_MAX:
        return [f"names and labels have more than {SIZE_MAX:,} characters together"]
    seen: set[str] = set()
    for node in nodes:
        if not _ID.fullmatch(node.node_id):
            mistakes.append(f"{node.node_id[:100]!r} is not an id: letters, digits, '_', '.', '-'")
        if node.node_id in seen:
            mistakes.append(f"{node.node_id} appears twice")
        seen.add(node.node_id)
        if not _LABEL.fullmatch(node.level):
            mistakes.append(f"{node.node_id}: {node.level[:50]!r} is not a level: lower-case letters, digits and '_'")
        mistakes += [
            f"{node.node_id}: {label[:50]!r} is not a label: lower-case letters, digits and '_'"
            for label in node.labels
            if not _LABEL.fullmatch(label)
        ]
        texts = [node.name, *node.labels.values()]
        if not node.name.strip() or len(node.labels) > LABELS_MAX or max(map(len, texts)) > TEXT_MAX:
            mistakes.append(
                f"{node.node_id}: it may have a name and {LABELS_MAX} labels, of at most {TEXT_MAX} characters each"
            )
    return mistakes


def _of_parents(nodes: tuple[Node, ...], by_id: Mapping[str, Node]) -> list[str]:
    """Return which nodes hang on nothing, or on themselves."""
    mistakes = []
    for node in nodes[: NODES_MAX + 1]:
        above, current = {node.node_id}, node
        while current.parent_id:
            if current.parent_id not in by_id:
                known = did_you_mean(current.parent_id, by_id.keys() - {current.node_id})
                mistakes.append(
                    f"{current.node_id}: there is no parent {current.parent_id[:100]!r}.{known}".rstrip(".")
                )
                break
            if current.parent_id in above or len(above) > LEVELS_MAX:
                mistakes.append(f"{node.node_id}: it is below itself, or below more than {LEVELS_MAX} others")
                break
            above.add(current.parent_id)
            current = by_id[current.parent_id]
    return mistakes
