"""Tables are partitioned by the date that slices are made of, and every change of ours is bounded by it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlglot import exp

from convergence.adapters.googlesql.procedures.parser import parse_procedure
from convergence.adapters.googlesql.scripts.walk import texts_of
from convergence.config.files.schemas.folder import TableSchemas
from convergence.ports.warehouse import PARTITION_BY
from tests.repo.dml_bounds import changes_of, is_bounded

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
SCHEMAS = TableSchemas(CONFIGS)
# Small tables whose slices have no dates: a load replaces all rows of its credential.
WITHOUT_DATES = {
    "anthropic_model_pricing",
    "anthropic_model_pricing_candidate",
    "focus_providers",
    "openai_model_pricing",
    "openai_model_pricing_candidate",
    "openai_subscription_plans",
    "org_api_keys",
    "org_hierarchy",
    "org_hierarchy_levels",
    "org_integration_credentials",
    "org_kms_keys",
    "org_pipeline_execution_queue",
    "org_pipeline_configs",
    "org_profiles",
    "org_scheduled_pipeline_runs",
    "org_subscriptions",
    "org_usage_quotas",
    "saas_subscription_plans",
    "contract_commitment_1_3",
    "genai_commitment_terms",
    "subscriptions",
}
OTHERS = {
    "org_cost_repricing": "usage_date",  # only ever added to
    "org_meta_quarantine_rows": "x_ingestion_date",  # rows expire by the day on which they were set aside
}
# Where Python writes a DELETE, UPDATE or MERGE for BigQuery, and the test or the reason that bounds it.
WRITERS = {
    "adapters/gcp/warehouse/load.py": "test_partition_bounds",
    "adapters/gcp/warehouse/lineage.py": "test_partition_bounds",
    "adapters/gcp/warehouse/stage.py": "staging tables have no partitions",
    "processors/generic/dq_check.py": "test_rows_that_are_set_aside_are_deleted_within_their_days",
    "processors/focus/precedence.py": "test_a_publication_changes_the_days_of_its_run_only",
    "processors/genai/unpriced.py": "org_meta_quarantine_rows",
    "processors/genai/contract_commitment.py": "contract_commitment_1_3",
    "processors/openai/subscriptions.py": "subscriptions",
}
TEMPORARY = re.compile(r"CREATE (?:OR REPLACE )?TEMP(?:ORARY)? TABLE (\w+)")
CHANGE = re.compile(r"\b(?:DELETE FROM|MERGE INTO|UPDATE) \{|^(?:DELETE FROM|MERGE INTO|UPDATE) \{?\w+", re.MULTILINE)


@pytest.mark.parametrize("name", sorted(SCHEMAS.paths))
def test_a_shipped_table_is_partitioned_by_its_data_date(name: str) -> None:
    table = SCHEMAS.get(name)
    expected = None if name in WITHOUT_DATES else OTHERS.get(name, PARTITION_BY)
    assert table.partition_by == expected
    columns = {column.name: column.type for column in table.columns}
    assert expected is None or columns[expected] == "DATE"
    assert set(table.cluster_by) <= columns.keys()
    assert len(table.cluster_by) <= 4


def procedure_changes() -> Iterator[Any]:
    for path in sorted(CONFIGS.rglob("procedures/**/*.sql")):
        source = path.read_text("utf-8")
        temporary = set(TEMPORARY.findall(source))
        for text, is_expression in texts_of(parse_procedure(source, path.name).body):
            if is_expression:
                continue
            for table, tree in changes_of(text.sql):
                if table not in temporary:
                    yield pytest.param(table, tree, id=f"{path.stem}:{text.line}")


@pytest.mark.parametrize(("table", "tree"), list(procedure_changes()))
def test_a_shipped_procedure_changes_the_partitions_of_its_days_only(table: str, tree: exp.Expr) -> None:
    column = SCHEMAS.get(table).partition_by
    assert column is None or is_bounded(tree, column)


def test_every_place_that_writes_a_change_is_known() -> None:
    package = ROOT / "shared" / "convergence"
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "local" not in path.parts and CHANGE.search(path.read_text("utf-8"))
    }
    assert found == WRITERS.keys()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("DELETE FROM t WHERE x_pipeline_run_date BETWEEN p_start AND p_end AND a = 1", True),
        ("DELETE FROM t AS k WHERE k.x_pipeline_run_date IN UNNEST(@dates)", True),
        ("DELETE FROM t WHERE FALSE", True),
        ("DELETE FROM t WHERE x_run_id = 'r'", False),
        ("DELETE FROM t WHERE x_pipeline_run_date BETWEEN p_start AND p_end OR a = 1", False),
        ("DELETE FROM t WHERE x_pipeline_run_date = (SELECT MAX(d) FROM u)", False),
        ("UPDATE t SET a = 1 WHERE x_pipeline_run_date = other", False),
        ("MERGE INTO t AS k USING s ON FALSE WHEN NOT MATCHED BY SOURCE AND k.a = 1 THEN DELETE", False),
        ("MERGE INTO t AS k USING s ON k.a = s.a WHEN MATCHED THEN DELETE", False),
        ("MERGE INTO t AS k USING s ON k.x_pipeline_run_date = @d AND k.a = s.a WHEN MATCHED THEN DELETE", True),
    ],
)
def test_the_check_knows_a_bound(sql: str, expected: bool) -> None:
    [(_, tree)] = changes_of(sql)
    assert is_bounded(tree, PARTITION_BY) is expected
