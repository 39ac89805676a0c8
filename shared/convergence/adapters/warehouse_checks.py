"""The common part of all warehouses: contradictory arguments are refused, views have the same parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from convergence.errors import InvalidInput, PartlyCommitted, SchemaMismatch, did_you_mean
from convergence.ports.column_values import type_name
from convergence.ports.warehouse import Load, Row, TableSchema, WriteMode


def current_parts(table: TableSchema) -> list[str]:
    """Return the columns that part the view `{table}_current`: in each part the pipeline that read last counts."""
    return ["x_org_slug", "x_credential_id", "x_pipeline_run_date", *(table.current_by or ())]


def noted_reads(load: Load) -> TableSchema | None:
    """Return the table that notes the read which this load is; None unless it replaces days of such a table."""
    return load.table.reads if load.mode is WriteMode.OVERWRITE and load.dates is not None else None


def read_source(load: Load) -> Mapping[str, str] | None:
    """Return the value of each `current_by` column that was read; None when the load does not name all of them."""
    names = load.table.current_by or ()
    return {name: load.source[name] for name in names} if set(names) <= load.source.keys() else None


def refuse_other_case(dataset: str, table: TableSchema, stored: Iterable[str]) -> None:
    """Raise `SchemaMismatch` for a column that differs from a stored one only by case: SQL cannot tell them apart."""
    names = {name.lower(): name for name in stored}
    for column in table.columns:
        there = names.get(column.name.lower(), column.name)
        if there != column.name:
            raise SchemaMismatch(
                f"{dataset}.{table.name}: the table has the column {there!r}, from which {column.name!r} differs by"
                " case only. Use that name, or another one."
            )


def check_load(load: Load) -> None:
    """Refuse a load that contradicts itself.

    Raises:
        InvalidInput: many dates without a date field, a merge without keys, columns the table does not have, or a date
        field
            that holds no dates.
    """
    names = {column.name: column for column in load.table.columns}
    where = f"{load.dataset}.{load.table.name}"
    if load.dates is not None and load.date_field is None and len(load.dates) != 1:
        raise InvalidInput(
            f"{where}: a load of {len(load.dates)} dates needs date_field, the column with a row's date."
        )
    if load.mode in {WriteMode.MERGE, WriteMode.GROUPS} and not load.key_fields:
        raise InvalidInput(f"{where}: mode {load.mode} needs key_fields.")
    for name in (*load.key_fields, *([load.date_field] if load.date_field else [])):
        if name not in names:
            raise InvalidInput(f"{where}: the table has no column {name!r}.{did_you_mean(name, names)}")
    if load.date_field is not None and type_name(names[load.date_field]) not in {"DATE", "DATETIME", "TIMESTAMP"}:
        kind = names[load.date_field].type
        raise InvalidInput(f"{where}: date_field {load.date_field!r} is a {kind}; it must be a DATE or TIMESTAMP.")


def check_wait(wait_s: float | None, job_id: str | None) -> None:
    """Raise `InvalidInput` for a bounded wait without an id under which the job is found again."""
    if wait_s is not None and job_id is None:
        raise InvalidInput("wait_s needs a job_id: without one the statement cannot be found again.")


def check_ids(rows: Sequence[Row], ids: Sequence[str]) -> None:
    """Raise `InvalidInput` unless every appended row has an id."""
    if len(rows) != len(ids):
        raise InvalidInput(f"{len(rows)} rows were given with {len(ids)} ids; each row needs one.")


def partly_committed(procedure: str, commits: int, cause: Exception | None = None) -> PartlyCommitted:
    """Return the refusal to repeat a procedure that failed after that many of its own COMMITs."""
    because = f" ({cause})" if cause is not None else ""
    return PartlyCommitted(
        f"{procedure} failed after {commits} of its changes were committed{because}. It is not repeated"
        " automatically: look"
        " at what it wrote, then replay with --again. A step with `repeatable: true` is repeated."
    )
