"""The queries of checks. Names come from schema files, values are sent as query parameters."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, NamedTuple

from convergence.config.files.schemas.folder import TableSchemas
from convergence.config.sql.values import bind, type_of
from convergence.domain.sql_names import bigquery_name
from convergence.errors import StepFailed, did_you_mean
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter, TableSchema
from convergence.processors.generic.arguments import Argument, arguments
from convergence.processors.generic.dq_settings import Check, CheckFile

Parameters = dict[str, Parameter]
CLOCKS_DIFFER: Final = timedelta(minutes=5)


class Measured(NamedTuple):
    """`message` says what is wrong, or that there was no row or no value to check; it is empty for one that passed."""

    passed: bool
    rows_checked: int
    rows_failed: int
    message: str

    @property
    def checked_nothing(self) -> bool:
        """Whether the check held because there was no row, or nothing but NULLs: that proves nothing."""
        return self.passed and bool(self.message)


async def measure(check: Check, options: CheckFile, schema: TableSchema, context: Context) -> Measured:
    """Make one check. Raises `StepFailed` for a column that the table does not have."""
    found = await _measured(check, options, schema, context)
    bounds_rows = check.type == "row_count" and not check.source_table  # the check is about an empty table
    if found.passed and found.rows_checked == 0 and not bounds_rows:
        where = {"run": "brought by this run, or for its days", "days": "of the run's days", "all": "in the table"}
        return found._replace(message=f"checked 0 rows: there is none {where[options.scope]}")
    return found


async def _measured(check: Check, options: CheckFile, schema: TableSchema, context: Context) -> Measured:
    names = {column.name for column in schema.columns}
    for column in check.columns:
        if column not in names:
            raise StepFailed(f"{options.table} has no column {column!r}.{did_you_mean(column, names)}")
    where, parameters = _slice(options, context)
    count = f"SELECT COUNT(*) AS n FROM {bigquery_name(options.table)} AS t WHERE {where}"
    rows = await _number(count, parameters, context)
    match check.type:
        case "row_count":
            return await _row_count(check, options, rows, context)
        case "freshness":
            return await _freshness(check, options, rows, context)
        case "custom_sql":
            assert check.sql is not None, "required by the model"
            sql, bound = bind(check.sql)
            failed = len((await context.warehouse.query(sql, bound)).rows)
            return Measured(failed == 0, rows, failed, f"{failed} rows, none expected" if failed else "")
        case _:
            condition, parameters = bad_rows(check, options, context, schema)
            sql = f"SELECT COUNT(*) AS n FROM {bigquery_name(options.table)} AS t WHERE {condition}"
            failed = await _number(sql, parameters, context)
            if not failed:
                return Measured(True, rows, 0, await _without_values(check, options, rows, context))
            return Measured(
                False, rows, failed, f"{failed} of {rows} rows break {check.type}({', '.join(check.columns)})"
            )


async def _without_values(check: Check, options: CheckFile, rows: int, context: Context) -> str:
    """Name the columns that are NULL in every row: a NULL is in every range and list, and breaks no rule."""
    if not rows or check.type == "not_null":
        return ""
    where, parameters = _slice(options, context)
    names = [bigquery_name(column) for column in check.columns]
    counts = ", ".join(f"COUNTIF(t.{name} IS NOT NULL) AS {name}" for name in names)
    sql = f"SELECT {counts} FROM {bigquery_name(options.table)} AS t WHERE {where}"
    (found,) = (await context.warehouse.query(sql, parameters)).rows
    empty = [column for column in check.columns if not found[column]]
    return f"checked no value: {', '.join(empty)} is NULL in all {rows} rows" if empty else ""


def bad_rows(
    check: Check, options: CheckFile, context: Context, schema: TableSchema | None = None
) -> tuple[str, Parameters]:
    """Return the condition of rows (of the alias t) that break a check on columns, with its parameters."""
    schema = schema or TableSchemas(context.configs_dir).get(options.table)
    where, parameters = _slice(options, context)
    columns = [f"t.{bigquery_name(column)}" for column in check.columns]
    if check.type == "not_null":
        broken = " OR ".join(f"{column} IS NULL" for column in columns)
    elif check.type == "unique":
        inner = where.replace("t.", "o.")
        keys = ", ".join(f"o.{bigquery_name(column)}" for column in check.columns)
        same = " AND ".join(f"d.{name} IS NOT DISTINCT FROM t.{name}" for name in map(bigquery_name, check.columns))
        broken = (
            f"EXISTS (SELECT 1 FROM (SELECT {keys} FROM {bigquery_name(options.table)} AS o WHERE {inner}"
            f" GROUP BY {keys} HAVING COUNT(*) > 1) AS d WHERE {same})"
        )
    elif check.type == "range":
        types = {column.name: column.type for column in schema.columns}
        parts = []
        for name, column in zip(check.columns, columns, strict=True):
            for bound, sign in (("min", "<"), ("max", ">")):
                value = getattr(check, bound)
                if value is not None:
                    given = Argument(name=f"{bound}_{name}", type=types[name], value=value)
                    parameters.update(arguments([given], {}))
                    parts.append(f"{column} {sign} @{bound}_{name}")
        broken = " OR ".join(parts)
    else:
        parameters["accepted"] = Parameter(type_of(list(check.values)), list(check.values))
        broken = " OR ".join(f"{column} NOT IN UNNEST(@accepted)" for column in columns)
    return f"{where} AND ({broken})", parameters


def _slice(options: CheckFile, context: Context) -> tuple[str, Parameters]:
    if options.scope == "all":
        return "TRUE", {}
    where = "t.x_pipeline_run_date BETWEEN @first_day AND @last_day"
    days = {"first_day": Parameter("DATE", context.start_date), "last_day": Parameter("DATE", context.end_date)}
    if options.scope == "days":
        return where, days
    # Rows merged by key have no day of their own: they are found by the run that brought them.
    brought = f"(t.x_run_id = @run_id OR {where})"
    return f"{brought} AND t.x_pipeline_id = @pipeline_id AND t.x_credential_id = @credential_id", {
        **days,
        "run_id": Parameter("STRING", context.run_id),
        "pipeline_id": Parameter("STRING", context.pipeline_id),
        "credential_id": Parameter("STRING", context.credential_id),
    }


async def _row_count(check: Check, options: CheckFile, rows: int, context: Context) -> Measured:
    low, high = check.min, check.max
    if check.source_table:
        TableSchemas(context.configs_dir).get(check.source_table)  # a name that no file describes is refused
        where, parameters = _slice(options, context)
        sql = f"SELECT COUNT(*) AS n FROM {bigquery_name(check.source_table)} AS t WHERE {where}"
        source = await _number(sql, parameters, context)
        low, high = source * (1 - check.tolerance), source * (1 + check.tolerance)
    if (low is None or rows >= float(low)) and (high is None or rows <= float(high)):
        return Measured(True, rows, 0, "")
    return Measured(False, rows, 0, f"{rows} rows; expected {_span(low, high)}")


async def _freshness(check: Check, options: CheckFile, rows: int, context: Context) -> Measured:
    assert check.max_age_hours is not None, "required by the model"
    where, parameters = _slice(options, context)
    column = bigquery_name(check.columns[0])
    sql = f"SELECT MAX(t.{column}) AS latest FROM {bigquery_name(options.table)} AS t WHERE {where}"
    (row,) = (await context.warehouse.query(sql, parameters)).rows
    latest = _moment(row["latest"])
    oldest = context.now() - timedelta(hours=check.max_age_hours)
    if latest is not None and _begin(row["latest"]) > context.now() + CLOCKS_DIFFER:
        return Measured(False, rows, 0, f"the latest is {latest.isoformat()}, which is in the future")
    if latest is not None and latest >= oldest:
        return Measured(True, rows, 0, "")
    message = "no value at all" if latest is None else f"the latest is {latest.isoformat()}"
    return Measured(False, rows, 0, f"{message}; expected one since {oldest.isoformat()}")


def _moment(value: Any) -> datetime | None:
    """A time in UTC; a date counts until its end."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return datetime.combine(value, time.max, UTC) if isinstance(value, date) else None


def _begin(value: datetime | date) -> datetime:
    """A time in UTC; a date from its beginning."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return datetime.combine(value, time.min, UTC)


def _span(low: Any, high: Any) -> str:
    if low == high:
        return f"{low:g}"
    return " and ".join(
        part for part in (f"at least {low}" * (low is not None), f"at most {high}" * (high is not None)) if part
    )


async def _number(sql: str, parameters: Parameters, context: Context) -> int:
    (row,) = (await context.warehouse.query(sql, parameters)).rows
    return int(row["n"])
