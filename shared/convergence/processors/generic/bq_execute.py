"""`generic.bq_execute`: one SQL statement on the org's dataset; its rows into a table, where one is named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import AliasChoices, Field

from convergence.config.sql.kinds import asserts, kind_of_statement
from convergence.config.sql.values import bind
from convergence.errors import StepFailed, StillRunning
from convergence.ports.processor import CONTINUE, SUCCESS, Context
from convergence.ports.warehouse import LINEAGE_COLUMNS, Parameter, Row
from convergence.processors.generic.arguments import Argument, arguments
from convergence.processors.generic.target import Target
from convergence.processors.settings import Settings, settings

ROWS_MAX: Final = 1_000_000  # of one statement's result, because they pass through this process
BATCH: Final = 10_000
WAIT_S: Final = 60.0  # for a job, at a time; then the step yields its slot and returns later

# Lineage that a statement may bring → what it must be.
_OWN: Final = {
    "x_org_slug": "org_slug",
    "x_pipeline_id": "pipeline_id",
    "x_run_id": "run_id",
    "x_credential_id": "credential_id",
}
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_DEFINES: Final = re.compile(r"\s*(CREATE|DROP|ALTER)\b", re.IGNORECASE)
_UNKEPT: Final = "the rows of the query are not stored: set destination.table to load them"
_SYSTEM: Final = "org_"  # tables of the system, which creates them itself
Sql = str | dict[str, Any]  # resolved: {"sql": …, "parameters": {name: {"type": …, "value": …}}}


class ExecuteSettings(Settings):
    """`query` (or `sql`), its `parameters`, and how much it may read.

    `repeatable`: run a second time it leaves the same rows, so a replay with other parameters may run it again.
    """

    query: Sql = Field(validation_alias=AliasChoices("query", "sql"))
    parameters: tuple[Argument, ...] = ()
    params: dict[str, Any] = Field(default_factory=dict)
    dry_run: bool = False
    repeatable: bool = False
    bytes_max: int | None = Field(
        default=None, ge=1, validation_alias=AliasChoices("bytes_max", "maximum_bytes_billed", "max_bytes_billed")
    )


class ExecuteProcessor:
    """Without a destination the statement may change tables of the org; with one it must return rows."""

    config_model = ExecuteSettings
    runs_sql = True
    destination_model = Target
    destination_optional = True
    resumable = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Run the statement once, however often the step is repeated."""
        options = settings(ExecuteSettings, step_config)
        target = settings(Target, step_config, "destination") if step_config.get("destination") else None
        return await run_sql(options, target, context)


async def run_sql(options: ExecuteSettings, target: Target | None, context: Context) -> Mapping[str, Any]:
    """Run the statement; load its rows into the target. CONTINUE while its job is running.

    The checkpoint stays as it is: the job's id is made of it, so the next execution finds the same job.

    Raises `StepFailed` for wrong SQL, too many bytes or rows.
    """
    sql, bound = bind(options.query)
    parameters: dict[str, Parameter] = {**bound, **arguments(options.parameters, options.params)}
    if options.dry_run or (options.bytes_max is not None and target is None):
        tried = await context.warehouse.query(sql, parameters, dry_run=True, write=target is None)
        if options.dry_run:
            return {
                "status": SUCCESS,
                "dry_run": True,
                "bytes_processed": tried.bytes_processed,
                "tables": list(tried.tables),
            }
    await _ensure_tables(sql, context)
    try:
        answer = await context.warehouse.query(
            sql,
            parameters,
            rows_max=ROWS_MAX + 1,
            bytes_max=options.bytes_max,
            write=target is None,
            wait_s=WAIT_S,
            repeatable=options.repeatable,
        )
    except StillRunning as job:
        context.logger.info("%s; the step will return to it", job)
        return {"status": CONTINUE, "checkpoint": context.checkpoint}
    if target is None:
        count, returned = answer.rows_affected, len(answer.rows)
        result = {"status": SUCCESS, "rows_processed": count, "rows_written": count, "rows_returned": returned}
        unkept = returned and kind_of_statement(sql) == "query" and not asserts(sql)
        return {**result, "warnings": [_UNKEPT]} if unkept else result
    if len(answer.rows) > ROWS_MAX:
        raise StepFailed(f"the query returns more than {ROWS_MAX} rows; run it day by day, or write a procedure")
    dates = target.slices(context)
    stage = context.warehouse.stage(target.table)
    for part, start in enumerate(range(0, len(answer.rows), BATCH)):
        rows = answer.rows[start : start + BATCH]
        await stage.write(part, [without_lineage(row, context) for row in rows])
    loaded = await context.warehouse.load(
        stage, dates=dates, date_field=target.date_field or None, mode=target.mode, key_fields=target.key_fields
    )
    return {
        "status": SUCCESS,
        "rows_processed": len(answer.rows),
        "rows_written": loaded.rows_loaded,
        "table": target.table,
        "bytes_processed": answer.bytes_processed,
    }


def without_lineage(row: Row, context: Context) -> Row:
    """Return a row without the lineage that its statement brought; the warehouse adds it.

    Raises `StepFailed` where it is not the run's own: another org, pipeline, run, credential or day.
    """
    brought = [name for name in LINEAGE_COLUMNS if name in row]
    if not brought:
        return row
    own = {name: getattr(context, field) for name, field in _OWN.items()}
    for name in brought:
        value = row[name]
        if name in own and value not in {None, own[name]}:
            raise StepFailed(f"the statement gives {name} {value!r}, this run has {own[name]!r}: leave the column out")
        if name == "x_pipeline_run_date" and value is not None and not context.start_date <= value <= context.end_date:
            raise StepFailed(f"the statement gives {name} {value}, which is not a day of this run")
    return {name: value for name, value in row.items() if name not in LINEAGE_COLUMNS}


async def _ensure_tables(sql: str, context: Context) -> None:
    """Create the org's tables that a statement names, that have a schema file and do not exist yet: a first run may
    delete before it loads, or read what no pipeline has loaded so far."""
    if _DEFINES.match(sql):
        return
    for word in sorted(set(_WORD.findall(sql))):
        schema = None if word.startswith(_SYSTEM) else context.warehouse.schema(word)
        if schema is not None and not await context.warehouse.columns(schema.name):
            await context.warehouse.ensure_table(schema)


def get_engine() -> ExecuteProcessor:
    """Return the processor."""
    return ExecuteProcessor()
