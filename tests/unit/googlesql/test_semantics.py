"""docs/googlesql.md is true: every row of its tables is run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.unit.googlesql.conftest import GoogleSql
from tests.unit.googlesql.documented import rows_of_the_page
from tests.unit.googlesql.shown import shown

from convergence.errors import StepFailed


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
