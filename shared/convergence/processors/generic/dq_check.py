"""`generic.dq_check`: expectations on a table → `org_meta_dq_results`; a failed one stops, warns or sets rows aside.

A check that passed because there were no rows, or only NULLs, is `empty`, and a warning: it proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from convergence.domain.sql_names import bigquery_name
from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import PARTITION_BY, Parameter, Row, TableSchema, WriteMode
from convergence.processors.generic.dq_settings import Check, CheckFile, CheckSettings, read_checks
from convergence.processors.generic.dq_sql import bad_rows, measure
from convergence.processors.quarantine import TABLE as QUARANTINE
from convergence.processors.quarantine import digests
from convergence.processors.settings import settings

RESULTS: Final = "org_meta_dq_results"
ROWS_ASIDE_MAX: Final = 100_000
FAILED_MAX: Final = 20


class CheckProcessor:
    """All checks are made and recorded before one of them stops the step."""

    config_model = CheckSettings
    runs_sql = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Check. Raises `StepFailed` that names every failed check whose `on_fail` is stop."""
        options = read_checks(settings(CheckSettings, step_config), context)
        schema = await _table(options.table, context)
        rows: list[dict[str, Any]] = []
        failed: list[str] = []
        stopping: list[str] = []
        empty: list[str] = []
        checked = 0
        for number, check in enumerate(options.checks, 1):
            name = check.name or f"{number:02d}_{check.type}"
            found = await measure(check, options, schema, context)
            checked = max(checked, found.rows_checked)
            if not found.passed:
                message = f"{name}: {found.message}"
                failed.append(message)
                if check.on_fail == "stop":
                    stopping.append(message)
                elif check.on_fail == "quarantine":
                    await _set_aside(check, name, options, context)
            elif found.checked_nothing:
                empty.append(f"{name}: {found.message}")
            rows.append(
                {
                    "check_name": name,
                    "check_type": check.type,
                    "table_name": options.table,
                    "step_id": context.step_id,
                    "status": "failed" if not found.passed else "empty" if found.checked_nothing else "passed",
                    "on_fail": check.on_fail,
                    "rows_checked": found.rows_checked,
                    "rows_failed": found.rows_failed,
                    "detail": found.message or None,
                    "checked_at": context.now(),
                }
            )
        await _record(rows, context)
        if stopping:
            raise StepFailed(f"{options.table}: {len(stopping)} of {len(rows)} checks failed: {'; '.join(stopping)}")
        return {
            "status": SUCCESS,
            "rows_processed": checked,
            "rows_checked": checked,
            "checks_passed": len(rows) - len(failed) - len(empty),
            "checks_failed": failed[:FAILED_MAX],
            "checks_empty": empty[:FAILED_MAX],
            "warnings": [f"{options.table}: {message}" for message in [*failed[:FAILED_MAX], *empty[:FAILED_MAX]]],
        }


async def _table(name: str, context: Context) -> TableSchema:
    """Return what is known about a table, from its file or from the records that landed in it."""
    schema = context.warehouse.schema(name)
    if schema is not None:
        await context.warehouse.ensure_table(name)
        return schema
    columns = await context.warehouse.columns(name)
    if not columns:
        raise StepFailed(f"there is no table {name!r}, and no file {name}.json describes it")
    return TableSchema(name, columns)


async def _record(rows: list[dict[str, Any]], context: Context) -> None:
    stage = context.warehouse.stage(RESULTS)
    await stage.write(0, rows)
    # Every execution is a separate check, so a replay adds its own results.
    await context.warehouse.load(stage, dates=None, mode=WriteMode.APPEND, repeatable=True)


async def _set_aside(check: Check, name: str, options: CheckFile, context: Context) -> None:
    """Copy the bad rows into the quarantine table, then take them out of their own."""
    condition, parameters = bad_rows(check, options, context)
    sql = f"SELECT TO_JSON_STRING(t) AS row_json FROM {bigquery_name(options.table)} AS t WHERE {condition}"
    found = (await context.warehouse.query(sql, parameters, rows_max=ROWS_ASIDE_MAX + 1)).rows
    if len(found) > ROWS_ASIDE_MAX:
        raise StepFailed(f"{options.table}: {name} fails for more than {ROWS_ASIDE_MAX} rows: these are not exceptions")
    fixed: Row = {"table_name": options.table, "step_id": context.step_id, "reason": name}
    stage = context.warehouse.stage(QUARANTINE)
    texts = [row["row_json"] for row in found]
    rows = zip(texts, digests(texts), strict=True)
    await stage.write(0, [{**fixed, "row_json": text, "row_digest": digest} for text, digest in rows])
    await context.warehouse.load(
        stage, dates=None, mode=WriteMode.MERGE, key_fields=("table_name", "step_id", "row_digest")
    )
    delete, bounds = deletion(options.table, condition, texts)
    await context.warehouse.query(delete, {**parameters, **bounds}, write=True, repeatable=True)


def deletion(table: str, condition: str, rows: Sequence[str]) -> tuple[str, dict[str, Parameter]]:
    """Return the DELETE of rows that are known as JSON, bounded by their first and last date."""
    sql = f"DELETE FROM {bigquery_name(table)} AS t WHERE {condition}"
    days = [orjson.loads(row).get(PARTITION_BY) for row in rows]
    if not days or None in days:
        return sql, {}
    bounds = {"first_aside": Parameter("DATE", min(days)), "last_aside": Parameter("DATE", max(days))}
    return f"{sql} AND t.{PARTITION_BY} BETWEEN @first_aside AND @last_aside", bounds


def get_engine() -> CheckProcessor:
    """Return the processor."""
    return CheckProcessor()
