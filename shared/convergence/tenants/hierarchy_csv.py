"""An org's hierarchy as CSV: node_id, name, level, parent_id; every other column is a label."""

from __future__ import annotations

import csv
import io
from typing import Final

from convergence.domain.hierarchy import COLUMNS, Hierarchy, Node
from convergence.errors import InvalidInput

_NEEDED: Final = ("node_id", "name", "level")


def read_csv(text: str) -> Hierarchy:
    """Return the hierarchy of a CSV text. Raises `InvalidInput`: line and column, or what does not fit together."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    nodes = []
    try:
        columns = [column.strip() for column in reader.fieldnames or ()]
        missing = [name for name in _NEEDED if name not in columns]
        if missing or len(set(columns)) != len(columns):
            raise InvalidInput(
                f"line 1: the columns node_id, name, level and parent_id are expected, each once; found {columns}"
            )
        reader.fieldnames = columns
        for row in reader:
            if None in row or None in row.values():
                raise InvalidInput(f"line {reader.line_num}: {len(columns)} values are expected")
            values = {name: value.strip() for name, value in row.items()}
            labels = {name: value for name, value in values.items() if name not in COLUMNS and value}
            own = {name: values.get(name, "") for name in COLUMNS}
            nodes.append(Node(**own, labels=labels))
    except csv.Error as error:
        raise InvalidInput(f"line {reader.line_num}: not CSV: {error}") from error
    return Hierarchy(nodes)


def write_csv(hierarchy: Hierarchy) -> str:
    """Return a hierarchy as `read_csv` takes it."""
    labels = sorted({label for node in hierarchy.nodes for label in node.labels})
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *labels], lineterminator="\n")
    writer.writeheader()
    for node in hierarchy.nodes:
        writer.writerow({**{name: getattr(node, name) for name in COLUMNS}, **node.labels})
    return text.getvalue()
