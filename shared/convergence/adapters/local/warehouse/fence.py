"""The second check: what DuckDB itself says that a statement does, checked before it runs.

The first check (`googlesql.access`) reads the tree of our own parser. This one does not rely on that: it takes the text
that is about to run and queries DuckDB. Its lexer says what a statement writes (the target follows the verb), its
binder what it reads: the plan before optimization has every table, with views and macros followed. What is not known
here is refused. A read also runs in a read-only transaction (`Job.transaction`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.warehouse.job import Answer, Job
from convergence.adapters.local.warehouse.lexer import name_of, words_of
from convergence.adapters.local.warehouse.plan import Scan, scans_of
from convergence.errors import Denied
from convergence.ports.warehouse import CENTRAL_TABLES, SHARED_DATASET, WRITTEN_LOGS

# The words before the target of each kind of statement that may run. TRUNCATE is a DELETE for DuckDB.
_LEADING: Final[Mapping[str, frozenset[str]]] = {
    "INSERT": frozenset({"INSERT", "OR", "REPLACE", "INTO"}),
    "UPDATE": frozenset({"UPDATE"}),
    "DELETE": frozenset({"DELETE", "FROM", "TRUNCATE", "TABLE"}),
    "MERGE_INTO": frozenset({"MERGE", "INTO"}),
    "CREATE": frozenset({"CREATE", "OR", "REPLACE", "TEMP", "TEMPORARY", "TABLE", "VIEW", "IF", "NOT", "EXISTS"}),
    "DROP": frozenset({"DROP", "TABLE", "VIEW", "IF", "EXISTS"}),
    "ALTER": frozenset({"ALTER", "TABLE", "VIEW", "IF", "EXISTS"}),
}
_DEFINING: Final = frozenset({"CREATE", "ALTER"})
_LOGS: Final = "SELECT lower(table_name) FROM duckdb_tables() WHERE schema_name = $dataset"
_NO_QUERY: Final = frozenset({"DROP", "ALTER"})  # they have no plan, and DuckDB refuses subqueries in ALTER
_REMEMBERED: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE_INTO"})
# Procedures are the product's own, the same for every org; INFORMATION_SCHEMA.ROUTINES shows them.
_SHARED: Final = frozenset({("_convergence", "routines")})
_ROWS_OF: Final = ("(", "SELECT", "*", "FROM")
_VIEW: Final = "SELECT 1 FROM duckdb_views() WHERE schema_name = $dataset AND view_name = $view"


@dataclass(frozen=True, slots=True)
class Fence:
    """What a statement may touch. `temporary` are the job's own temporary tables, in lower case; `org` is whose rows of
    central tables it may read, None where it may read none."""

    dataset: str
    readable: tuple[str, ...] = ()
    writable: bool = False
    temporary: frozenset[str] = frozenset()
    org: str | None = None

    @property
    def datasets(self) -> frozenset[str]:
        """All datasets that may be read."""
        return frozenset({self.dataset, *self.readable})


def run_inside(job: Job, fence: Fence, sql: str, values: Mapping[str, Any]) -> Answer:
    """Run one statement that stays inside of the fence.

    Raises:
        Denied: it would reach outside; nothing ran.
        StepFailed: it is more than one statement.
        duckdb.Error: DuckDB refused it.
    """
    look_over(job, fence, sql, values)
    return job.execute(sql, values)


def look_over(job: Job, fence: Fence, sql: str, values: Mapping[str, Any]) -> None:
    """Have DuckDB resolve a statement and check what it found. Raises like `run_inside`; runs nothing.

    The types of the values belong to the verdict, the values do not: where they could matter it is not remembered.
    """
    key = (fence, sql, tuple((name, type(value)) for name, value in values.items()))
    if job.was_admitted(key):
        return
    kind, words = job.kind_of(sql), words_of(sql)
    _refuse_text_as_sql(words)
    if kind in _LEADING:
        target = _check_target(fence, kind, words)
        if kind in _DEFINING:
            _refuse_names_of_logs(job, {target} if kind == "CREATE" else {name_of(word) for word in words})
    elif kind != "SELECT":
        raise Denied(f"A statement of the kind {kind} cannot run here.")
    named = [
        place for place, (word, dot) in enumerate(pairwise(words)) if name_of(word) == SHARED_DATASET and dot == "."
    ]
    names_logs = not all(_is_own_rows(fence, words, place) for place in named)
    makes_view = kind == "CREATE" and "VIEW" in {word.upper() for word in words}
    if named and (names_logs or makes_view) and kind == "CREATE" and SHARED_DATASET not in fence.datasets:
        raise Denied(f"{SHARED_DATASET} is outside of what this statement may touch.")  # a view would pass it on
    if kind in _NO_QUERY or (kind == "DELETE" and words[0].upper() == "TRUNCATE"):
        return
    scans = scans_of(job, sql, values)
    for scan in scans:
        if not _is_inside(job, fence, scan, names_logs=names_logs):
            raise Denied(f"{scan} is outside of what this statement may read: {', '.join(sorted(fence.datasets))}.")
    if kind in _REMEMBERED and all(scan.dataset in fence.datasets for scan in scans):
        job.admit(key)


def _refuse_text_as_sql(words: list[str]) -> None:
    """`query('…')` may give another statement each time it is bound, and catalogue functions show all orgs."""
    for first, second in pairwise(words):
        name = name_of(first) if second == "(" else ""
        if name in {"query", "query_table"} or name.startswith("duckdb_"):
            raise Denied(f"The function {name} cannot be used here.")


def _refuse_names_of_logs(job: Job, names: set[str]) -> None:
    """A view that is named like a log is taken for the product's own (`_is_own_log`), so no statement may define one.

    DuckDB's plan of CREATE VIEW does not show what the view reads. The names are taken before their tables are there:
    the logs are made with their first rows, and an org's views of them would find a table of another kind.
    """
    logs = {name for (name,) in job.execute(_LOGS, {"dataset": SHARED_DATASET}).fetchall()}
    if taken := names & logs.union(CENTRAL_TABLES, WRITTEN_LOGS.values()):
        raise Denied(f"{min(taken)} is the name of a log; give the table or view another name.")


def _check_target(fence: Fence, kind: str, words: list[str]) -> str:
    """Check the table that a statement writes or defines, and return its name: it follows the leading words."""
    count = next((place for place, word in enumerate(words) if word.upper() not in _LEADING[kind]), len(words))
    leading = {word.upper() for word in words[:count]}
    path, rest = _path(words[count:])
    whole = kind in {"CREATE", "DROP", "ALTER"} and not leading & {"TABLE", "VIEW"}
    if whole or not path or (kind == "DROP" and rest not in ([], [";"])):
        raise Denied(f"A statement that begins with {' '.join(words[: count + 1])[:60]!r} cannot run here.")
    if len(path) == 1 and (path[0] in fence.temporary or leading & {"TEMP", "TEMPORARY"}):
        return path[0]
    if len(path) != 2 or path[0] != fence.dataset.lower() or not fence.writable:
        raise Denied(f"{'.'.join(path)} cannot be written by this statement.")
    return path[-1]


def _path(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the names of `a.b.c` at the beginning, in lower case, and what follows."""
    path: list[str] = []
    while words and (name := name_of(words[0])):
        path.append(name)
        if words[1:2] != ["."]:
            return path, words[1:]
        words = words[2:]
    return [], words


def _is_own_rows(fence: Fence, words: list[str], place: int) -> bool:
    """Whether a central table is named in a subquery of the org's rows, word by word as `googlesql.own_rows` has it."""
    table = name_of("".join(words[place + 2 : place + 3]))
    if fence.org is None or table not in CENTRAL_TABLES or place < len(_ROWS_OF):
        return False
    expected = [*_ROWS_OF, SHARED_DATASET, ".", table, "WHERE", "x_org_slug", "=", f"'{fence.org}'", ")"]
    around = words[place - len(_ROWS_OF) : place - len(_ROWS_OF) + len(expected)]
    return [name_of(word) or word for word in around] == [name_of(word) or word for word in expected]


def _is_inside(job: Job, fence: Fence, scan: Scan, *, names_logs: bool) -> bool:
    if scan.dataset == "":  # no table: a catalogue function of ours, which shows one dataset
        return any(f"(schema_name = CAST('{dataset}' AS VARCHAR))" in scan.conditions for dataset in fence.datasets)
    if scan.is_temporary or scan.dataset in fence.datasets or (scan.dataset, scan.table) in _SHARED:
        return True
    if scan.dataset != SHARED_DATASET or names_logs:
        return False
    owner = f"(x_org_slug = CAST('{fence.org}' AS VARCHAR))"
    if fence.org is not None and scan.table in CENTRAL_TABLES and owner in scan.conditions:
        return True
    return _is_own_log(job, fence, scan)


def _is_own_log(job: Job, fence: Fence, scan: Scan) -> bool:
    """Whether the scan is one that the org's own view of this log makes, with the same condition on the org."""
    for dataset in fence.datasets:
        if job.execute(_VIEW, {"dataset": dataset, "view": scan.table}).fetchone() is not None:
            view = f"SELECT * FROM {duckdb_name(dataset, scan.table)}"  # noqa: S608 - quoted
            if scan in set(scans_of(job, view, {})):
                return True
    return False
