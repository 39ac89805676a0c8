"""Every worked example of Google's documentation gives what is printed there, or is listed with the reason.

The examples are not part of the project: `../shared/data/googlesql/examples.jsonl`, from google/zetasql (Apache-2.0).
`documented.json` lists by id what does not run here (`error`: how its message begins), what gives another value than
printed (`answer`: a digest of it, empty when it is not defined or changes with time), and why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import sqlglot
from sqlglot import exp

from convergence.errors import ConvergenceError, StepFailed
from tests.differential.documented import Table, order_of, same_table
from tests.unit.googlesql.conftest import GoogleSql
from tests.unit.googlesql.shown import shown

HERE: Final = Path(__file__).parent
SOURCE: Final = HERE.parents[2] / "shared" / "data" / "googlesql" / "examples.jsonl"
LISTED: Final[dict[str, dict[str, str]]] = json.loads((HERE / "documented.json").read_text(encoding="utf-8"))


def read_examples() -> list[dict[str, Any]]:
    if not SOURCE.exists():
        return []
    return [json.loads(line) for line in SOURCE.read_text(encoding="utf-8").splitlines()]


EXAMPLES: Final = read_examples()
needs_examples = pytest.mark.skipif(not EXAMPLES, reason=f"no examples of Google's documentation at {SOURCE}")


@pytest.fixture(scope="module")
def ours() -> Iterator[GoogleSql]:
    sql = GoogleSql()
    yield sql
    sql.close()


def trees_of(sql: str) -> list[exp.Expr]:
    try:
        return [tree for tree in sqlglot.parse(sql, dialect="bigquery") if tree is not None]
    except sqlglot.errors.SqlglotError:
        return []


def ctes_of(example: dict[str, Any]) -> dict[str, str]:
    ctes = [cte for tree in trees_of(example["sql"]) for cte in tree.find_all(exp.CTE)]
    return {cte.alias.lower(): cte.this.sql("bigquery") for cte in ctes}


@pytest.fixture(scope="module")
def tables() -> dict[str, list[tuple[int, dict[str, str]]]]:
    """The tables that each page defines, by WITH, at one place and reads at another."""
    found: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for example in EXAMPLES:
        found.setdefault(example["doc"], []).append((example["id"], ctes_of(example)))
    return found


def define_tables(sql: GoogleSql, example: dict[str, Any], pages: list[tuple[int, dict[str, str]]]) -> list[str]:
    """Make the tables that the example reads and another of its page defines, the nearest before it first."""
    own = ctes_of(example)
    missing = {table.name for tree in trees_of(example["sql"]) for table in tree.find_all(exp.Table) if not table.db}
    nearest = sorted(pages, key=lambda page: (page[0] > example["id"], abs(page[0] - example["id"])))
    made = []
    for name in sorted(name for name in missing if name.lower() not in own):
        query = next((ctes[name.lower()] for _, ctes in nearest if name.lower() in ctes), None)
        if query is None:
            continue
        try:
            sql.query(f"CREATE TABLE `{name}` AS {query}")
        except StepFailed:
            continue
        made.append(name)
    return made


@needs_examples
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: f"{each['doc']}-{each['id']}")
def test_an_example_gives_what_is_printed(ours: GoogleSql, tables: Any, example: dict[str, Any]) -> None:
    made = define_tables(ours, example, tables[example["doc"]])
    try:
        result = ours.query(example["sql"])
        columns, rows = result.columns, [list(row.values()) for row in result.rows]
    except ConvergenceError as error:
        columns, rows, error_text = (), [], str(error)
    else:
        error_text = ""
    finally:
        for name in made:
            ours.query(f"DROP TABLE `{name}`")
    listed = LISTED.get(str(example["id"]))
    ordered = order_of(example["sql"], example["columns"])
    printed = Table(example["columns"], example["rows"])
    if listed is None:
        assert error_text == ""
        assert same_table(columns, rows, printed, ordered=ordered), f"{rows} instead of {example['rows']}"
    elif "error" in listed:
        assert error_text.startswith(listed["error"]), f"the error was {error_text!r}, the rows {rows}"
    else:
        assert error_text == ""
        assert listed["answer"] in {"", digest(rows)}, f"another answer than listed: {rows}"
        same = same_table(columns, rows, printed, ordered=ordered)
        assert not (same and listed["answer"]), "it gives what is printed: take it off the list"


def digest(rows: list[list[Any]]) -> str:
    text = "\n".join(sorted("|".join(shown(value) for value in row) for row in rows))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def test_the_list_gives_reasons_and_nothing_twice() -> None:
    assert all(each["reason"] and ("error" in each) != ("answer" in each) for each in LISTED.values())


@needs_examples
def test_the_list_has_no_example_that_is_not_there() -> None:
    assert set(LISTED) <= {str(example["id"]) for example in EXAMPLES}
    assert len(EXAMPLES) == 736
