"""Migrations that tests of several adapters run."""

from __future__ import annotations

from convergence.ports.warehouse import Routine, Scope, Statement, Warehouse


def a_migration(name: str, text: str) -> Routine:
    return Routine(name, text, f"migrations/{name}.sql", text)


FIRST = a_migration("001_prices", "CREATE TABLE `{project_id}.org_prod.prices` (model STRING, price NUMERIC);")


async def columns(warehouse: Warehouse) -> list[str]:
    sql = "SELECT column_name FROM INFORMATION_SCHEMA.COLUMNS ORDER BY ordinal_position"
    result = await warehouse.query(Statement(sql, scope=Scope(dataset="org_prod")))
    return [row["column_name"] for row in result.rows]
