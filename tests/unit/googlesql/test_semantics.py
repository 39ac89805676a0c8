"""docs/googlesql.md is true: every row of its tables is run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.googlesql.conftest import GoogleSql
from tests.unit.googlesql.shown import shown

from convergence.errors import StepFailed

PAGE = Path(__file__).parents[3] / "docs" / "googlesql.md"
ROW = re.compile(r"^\| (`+) ?(?P<sql>.+?) ?\1 \| `(?P<result>.+?)` \| ")


def rows_of_the_page() -> list[tuple[str, str]]:
    rows = (ROW.match(line) for line in PAGE.read_text(encoding="utf-8").splitlines())
    return [(row["sql"].replace("\\|", "|"), row["result"].replace("\\|", "|")) for row in rows if row]


@pytest.fixture(scope="module")
def with_t(shared_sql: GoogleSql) -> Iterator[GoogleSql]:
    shared_sql.query("CREATE TABLE t (i INT64, n NUMERIC, f FLOAT64)")
    shared_sql.query("INSERT INTO t VALUES (1, 10, 0.5), (2, 31, NULL)")
    yield shared_sql
    shared_sql.query("DROP TABLE t")


def answer(sql: GoogleSql, text: str) -> str:
    query = text if text.startswith(("SELECT", "WITH", "DELETE")) else f"SELECT {text}"
    try:
        rows = sql.query(query).rows
    except StepFailed as error:
        return f"error: {error}".splitlines()[0]
    return "; ".join(", ".join(shown(value) for value in row.values()) for row in rows)


def test_the_page_has_its_rows() -> None:
    assert len(rows_of_the_page()) > 100


@pytest.mark.parametrize(("text", "result"), rows_of_the_page())
def test_a_row_of_the_page_is_true(with_t: GoogleSql, text: str, result: str) -> None:
    assert answer(with_t, text) == result
