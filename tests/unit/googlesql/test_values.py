"""Expressions and queries give BigQuery's value, or are refused where BigQuery refuses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.googlesql.conftest import GoogleSql
from tests.unit.googlesql.shown import shown

from convergence.errors import Denied, StepFailed

LINES = [
    line.partition(" ==> ")[::2]
    for line in Path(__file__).with_name("values.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
STATEMENTS = ("SELECT", "WITH", "INSERT", "UPDATE", "MERGE", "CREATE", "ALTER")


@pytest.fixture(scope="module")
def with_t(shared_sql: GoogleSql) -> Iterator[GoogleSql]:
    shared_sql.query("CREATE TABLE t (i INT64, n NUMERIC, f FLOAT64, s STRING)")
    shared_sql.query("INSERT INTO t VALUES (1, 10, 0.5, 'a'), (2, 31, NULL, 'b')")
    yield shared_sql
    shared_sql.query("DROP TABLE t")


@pytest.mark.parametrize(("text", "value"), LINES)
def test_a_value_is_bigquerys(with_t: GoogleSql, text: str, value: str) -> None:
    query = text if text.startswith(STATEMENTS) else f"SELECT {text}"
    if value == "error":
        with pytest.raises((StepFailed, Denied)):
            with_t.query(query)
    else:
        rows = with_t.query(query).rows
        assert "; ".join(", ".join(shown(each) for each in row.values()) for row in rows) == value
