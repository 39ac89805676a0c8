"""Rows that a check sets aside are deleted from the partitions of its days."""

from __future__ import annotations

from datetime import date
from typing import Any, cast

import pytest

from convergence.ports.processor import Context
from convergence.ports.warehouse import PARTITION_BY, Column, TableSchema
from convergence.processors.generic.dq_check import deletion
from convergence.processors.generic.dq_settings import Check, CheckFile
from convergence.processors.generic.dq_sql import bad_rows
from tests.repo.dml_bounds import changes_of, is_bounded

CHECKS: list[dict[str, Any]] = [
    {"type": "not_null", "columns": ["id"]},
    {"type": "unique", "columns": ["id"]},
    {"type": "range", "columns": ["id"], "min": 1},
    {"type": "accepted_values", "columns": ["id"], "values": [1]},
]


class Days:
    start_date = end_date = date(2026, 1, 1)
    org_slug = pipeline_id = credential_id = run_id = "x"


@pytest.mark.parametrize("scope", ["run", "days", "all"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check["type"])
def test_rows_that_are_set_aside_are_deleted_within_their_days(check: dict[str, Any], scope: str) -> None:
    options = CheckFile.model_validate({"table": "t", "checks": [check], "scope": scope})
    table = TableSchema("t", (Column("id", "INT64"),))
    condition, _ = bad_rows(Check.model_validate(check), options, cast("Context", Days()), table)
    found = [f'{{"id": null, "{PARTITION_BY}": "2026-01-0{day}"}}' for day in (3, 1, 2)]
    sql, bounds = deletion("t", condition, found)
    [(_, tree)] = changes_of(sql)
    assert is_bounded(tree, PARTITION_BY)
    assert [each.value for each in bounds.values()] == ["2026-01-01", "2026-01-03"]


def test_a_row_without_a_date_is_deleted_too() -> None:
    assert deletion("t", "TRUE", ['{"id": 1}']) == ("DELETE FROM `t` AS t WHERE TRUE", {})
