"""SQL reaches DuckDB in one place, which takes one statement at a time: `Job.execute`; `session` opens the file."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "shared" / "convergence"
JOB = "adapters/local/warehouse/job.py"
SESSION = "adapters/local/warehouse/session.py"  # opens the file, and runs the product's own set-up
BACKUP = "adapters/local/backup.py"  # opens a copy once, to prove that it can be opened
SQLITE = "adapters/local/documents"  # the documents of the embedded state are in SQLite
RUNS_SQL = {"execute", "executemany", "sql", "query", "from_query", "extract_statements", "cursor", "read_json"}
CONNECTS = {"connect", "default_connection", "execute", "sql", "query"}


def calls(source: str) -> list[tuple[str, str]]:
    """Return receiver and method of each call of a method, as they are written."""
    nodes = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [(ast.unparse(node.value), node.attr) for node in nodes if isinstance(node, ast.Attribute)]


def strays(name: str, source: str) -> list[str]:
    """Return the calls that reach DuckDB past `Job.execute`."""
    found = [f"duckdb.{method}" for receiver, method in calls(source) if receiver == "duckdb" and method in CONNECTS]
    if name.startswith("adapters/local/") and not name.startswith(SQLITE):
        found += [
            f"{receiver}.{method}"
            for receiver, method in calls(source)
            if method in RUNS_SQL and receiver.rpartition(".")[2].lstrip("_") != "job" and not is_tree(receiver, method)
        ]
    return found


def is_tree(receiver: str, method: str) -> bool:
    """Whether `sql` writes a tree as text, or `execute` is the method that adds the fence to a job's."""
    return method == "sql" or (method == "execute" and receiver in {"self", "statements"})


def test_sql_reaches_duckdb_in_one_place() -> None:
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    own = {JOB, SESSION, BACKUP}
    assert own <= sources.keys()
    found = {name: strays(name, source) for name, source in sources.items() if name not in own}
    assert {name: calls for name, calls in found.items() if calls} == {}


def test_a_stray_call_is_found() -> None:
    source = "import duckdb\ndef f(job):\n    job.execute('x')\n    job._cursor.execute('x')\n    duckdb.sql('x')\n"
    assert strays("adapters/local/warehouse/x.py", source) == ["duckdb.sql", "job._cursor.execute"]
    assert strays("processors/x.py", source) == ["duckdb.sql"]


def test_sql_that_a_user_wrote_runs_inside_of_the_fence() -> None:
    """A translation's text goes through `run_inside` or `look_over`; DESCRIBE comes after the latter."""
    query = (PACKAGE / "adapters/local/warehouse/statements.py").read_text("utf-8")
    reached = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(query))
        if isinstance(node, ast.Call) and "translation.sql" in ast.unparse(node) and "execute" in ast.unparse(node.func)
    ]
    assert [text for text in reached if "DESCRIBE" not in text] == []
