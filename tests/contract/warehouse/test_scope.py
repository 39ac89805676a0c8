"""What a statement may reach."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from convergence.errors import Denied, StepFailed
from convergence.ports.warehouse import (
    Statement,
    TableSchema,
    Warehouse,
)
from tests.contract.warehouse.world import READ, WRITE, Body


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM beta_prod.usage",
        "SELECT * FROM usage WHERE id IN (SELECT id FROM `demo.beta_prod.usage`)",
        "SELECT * FROM `elsewhere.acme_prod.usage`",
        "WITH beta AS (SELECT * FROM beta_prod.usage) SELECT * FROM beta",
        "DELETE FROM usage WHERE TRUE",
        "CREATE TABLE acme_prod.copy AS SELECT 1 AS a",
        "SELECT * FROM _convergence.jobs",
        "WITH a AS (WITH b AS (SELECT * FROM beta_prod.usage) SELECT * FROM b) SELECT * FROM a",
        "WITH usage AS (SELECT * FROM beta_prod.usage) SELECT * FROM usage",
        "SELECT * FROM beta_prod.INFORMATION_SCHEMA.TABLES",
        "SELECT * FROM beta_prod.__TABLES__",
        "SELECT * FROM `beta_prod.us*`",
        "CREATE VIEW mine AS SELECT * FROM beta_prod.usage",
        "CREATE TABLE mine CLONE beta_prod.usage",
    ],
)
def test_what_is_outside_of_the_scope_is_denied(run: Callable[[Body], None], usage: TableSchema, sql: str) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", usage)
        await warehouse.ensure_table("beta_prod", usage)
        with pytest.raises(Denied):
            await warehouse.query(Statement(sql, scope=READ))

    run(body)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH usage AS (SELECT 1 AS id) INSERT INTO usage (id) SELECT id FROM usage",
        "WITH a AS (SELECT 1 AS id) CREATE TABLE b AS SELECT * FROM a",
    ],
)
def test_with_before_a_write_is_refused_by_name(run: Callable[[Body], None], usage: TableSchema, sql: str) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", usage)
        with pytest.raises(StepFailed, match=r"WITH cannot come before (INSERT|CREATE TABLE):|syntax error"):
            await warehouse.query(Statement(sql, scope=WRITE))

    run(body)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_json('x')",
        "SELECT * FROM glob('*')",
        "SELECT getenv('HOME')",
        "COPY usage TO 'x.csv'",
        "ATTACH 'x.db'",
        "INSTALL spatial",
        "PRAGMA database_list",
        "SET threads = 1",
        "SELECT * FROM 'x.csv'",
        "SELECT * FROM duckdb_settings()",
        "SELECT current_setting('threads')",
        "EXPORT DATA OPTIONS (uri = 'gs://x/*') AS SELECT 1",
    ],
)
def test_nothing_reaches_files_settings_or_the_network(
    run: Callable[[Body], None], usage: TableSchema, sql: str
) -> None:
    async def body(warehouse: Warehouse) -> None:
        await warehouse.ensure_table("acme_prod", usage)
        with pytest.raises((Denied, StepFailed)):
            await warehouse.query(Statement(sql, scope=WRITE))

    run(body)
