"""What a statement reads, according to DuckDB's plan before optimization, which leaves nothing out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from convergence.adapters.local.warehouse.job import Job
from convergence.errors import Denied, StepFailed

# Operators that read nothing by themselves. Any other operator of a plan is refused.
# fmt: off
_HARMLESS: Final = frozenset({
    "AGGREGATE", "ANY_JOIN", "ASOF_JOIN", "COMPARISON_JOIN", "CREATE_TABLE", "CREATE_VIEW", "CROSS_PRODUCT", "CTE",
    "CTE_SCAN", "DELETE", "DELIM_GET", "DELIM_JOIN", "DEPENDENT_JOIN", "DISTINCT", "DUMMY_SCAN", "EMPTY_RESULT",
    "EXCEPT", "EXPRESSION_GET", "FILTER", "GENERATE_SERIES", "INSERT", "INTERSECT", "LIMIT", "MERGE_INTO",
    "ORDER_BY", "POSITIONAL_JOIN", "PROJECTION", "RANGE", "REC_CTE", "SAMPLE", "TOP_N", "UNION", "UNNEST", "UPDATE",
    "WINDOW",
})
# fmt: on
_CATALOGUE: Final = frozenset({"DUCKDB_TABLES", "DUCKDB_VIEWS", "DUCKDB_COLUMNS"})
_PART: Final = re.compile(r'"((?:[^"]|"")*)"|([^".]+)')


@dataclass(frozen=True, slots=True)
class Scan:
    """One table that is read; `dataset` is '' for a list of the catalogue. `conditions` are right above it."""

    catalog: str
    dataset: str
    table: str
    conditions: frozenset[str] = frozenset()

    @property
    def is_temporary(self) -> bool:
        """Whether it is a temporary table: those belong to the job."""
        return self.catalog == "temp"

    def __str__(self) -> str:
        return f"{self.dataset}.{self.table}" if self.dataset else self.table


def scans_of(job: Job, sql: str, values: Mapping[str, Any]) -> list[Scan]:
    """Return all that one statement reads.

    Raises:
        Denied: an operator that is not known here, such as a function that reads files.
        StepFailed: the statement is nested too deeply.
        duckdb.Error: DuckDB refused the statement.
    """
    rows = job.execute(f"EXPLAIN (FORMAT json) {sql}", values).fetchall()
    plan = next(text for name, text in rows if name == "logical_plan")
    try:
        left = [(node, frozenset[str]()) for node in json.loads(plan)]
    except RecursionError:
        raise StepFailed("The statement is nested too deeply.") from None
    found: list[Scan] = []
    while left:
        node, above = left.pop()
        scan = _scan(node, above)
        found += [scan] if scan else []
        conditions = _conditions(node)
        left += [(child, conditions) for child in node["children"]]
    return found


def _scan(node: Mapping[str, Any], conditions: frozenset[str]) -> Scan | None:
    name = str(node["name"]).strip()
    if "Table" in node["extra_info"]:
        catalog, dataset, table = _parts(str(node["extra_info"]["Table"]))
        return Scan(catalog, dataset, table, conditions)
    if name in _CATALOGUE:
        return Scan("", "", name.lower(), conditions)
    if name not in _HARMLESS:
        raise Denied(f"{name.lower()} cannot be read here.")
    return None


def _parts(path: str) -> tuple[str, str, str]:
    parts = [quoted.replace('""', '"') or plain for quoted, plain in _PART.findall(path)]
    if len(parts) != 3:
        raise Denied(f"{path} cannot be read here.")
    return parts[0], parts[1], parts[2]


def _conditions(node: Mapping[str, Any]) -> frozenset[str]:
    if node["name"] != "FILTER":
        return frozenset()
    written = node["extra_info"].get("Expressions", [])
    return frozenset([written] if isinstance(written, str) else written)
