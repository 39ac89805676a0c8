"""Records of the warehouse's port: schemas, loads, statements and results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

SHARED_DATASET: Final = "organizations"  # procedures, and the log tables of all orgs
# Its tables that runs may read, each run only the rows of its own org.
CENTRAL_TABLES: Final = frozenset(
    {
        "org_api_keys",
        "org_audit_logs",
        "org_hierarchy",
        "org_hierarchy_levels",
        "org_integration_credentials",
        "org_kms_keys",
        "org_meta_pipeline_runs",
        "org_meta_step_logs",
        "org_pipeline_execution_queue",
        "org_pipeline_configs",
        "org_profiles",
        "org_scheduled_pipeline_runs",
        "org_subscriptions",
        "org_usage_quotas",
    }
)
# Tables of each org's own dataset that a run may also refer to by the name of the shared one.
OWN_LOGS: Final = frozenset({"org_cost_tracking", "org_meta_dq_results", "org_meta_quarantine_rows"})
# Central logs that runs may also write: what they write is in a table of the org's own dataset, by this name.
WRITTEN_LOGS: Final[Mapping[str, str]] = {
    name: f"{name}_written" for name in ("org_meta_pipeline_runs", "org_meta_step_logs")
}
# What a run notes in these belongs to the day on which it notes it, unless it gives another x_pipeline_run_date.
DAILY_LOGS: Final = frozenset({"org_meta_dq_results", *WRITTEN_LOGS.values()})
LINEAGE_COLUMNS: Final = (
    "x_org_slug",
    "x_pipeline_id",
    "x_credential_id",
    "x_pipeline_run_date",
    "x_run_id",
    "x_ingested_at",
    "x_ingestion_date",
)

PARTITION_BY: Final = "x_pipeline_run_date"  # what slices are made of, so that a load reads its own dates only

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column as in a BigQuery schema file: GoogleSQL type, mode NULLABLE, REQUIRED or REPEATED.

    `bounds` are precision and scale of a NUMERIC or BIGNUMERIC, the length of a STRING or BYTES; () for none.
    """

    name: str
    type: str
    mode: str = "NULLABLE"
    description: str = ""
    fields: tuple[Column, ...] = ()
    bounds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A table as its schema file describes it. Lineage columns are included once the file is loaded.

    With `current_by` the table has a view `{name}_current`: for each org, credential, date and value of these columns,
    it has the rows of the pipeline that read the source last, so that a day loaded by several pipelines appears once. A
    read that found nothing counts too, so it leaves a row in the table `{name}_reads`. `also_named` are names under
    which the same rows can be read: views of the whole table.

    `inferred`: the columns come from the data. Columns are added while rows are staged, and their descriptions are
    stored because they name the field that a column holds.
    """

    name: str
    columns: tuple[Column, ...]
    description: str = ""
    partition_by: str | None = PARTITION_BY
    cluster_by: tuple[str, ...] = ()
    current_by: tuple[str, ...] | None = None
    also_named: tuple[str, ...] = ()
    inferred: bool = False

    @property
    def current_view(self) -> str | None:
        """Name of the view; None for a table without one."""
        return None if self.current_by is None else f"{self.name}_current"

    @property
    def reads(self) -> TableSchema | None:
        """The table that notes which pipeline has read which day, and when; None for a table without the view."""
        if self.current_by is None:
            return None
        columns = tuple(each for each in self.columns if each.name in (*self.current_by, *LINEAGE_COLUMNS))
        relaxed = tuple(replace(each, mode="NULLABLE", description="") for each in columns)
        return TableSchema(f"{self.name}_reads", relaxed, "Which pipeline read which day, and when", partition_by=None)

    @property
    def written(self) -> TableSchema | None:
        """The table in an org's dataset of the rows that its runs add to this log; None where they may add none."""
        if self.name not in WRITTEN_LOGS:
            return None
        relaxed = tuple(replace(column, mode="NULLABLE") for column in self.columns)
        return TableSchema(WRITTEN_LOGS[self.name], relaxed, f"Rows that runs of the org added to {self.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Who wrote a row. `credential_id` is empty when no credential was used."""

    org_slug: str
    pipeline_id: str
    credential_id: str
    run_id: str
    ingested_at: datetime


class WriteMode(StrEnum):
    """What happens to the rows that the slice holds already."""

    OVERWRITE = "overwrite"  # they are removed; the slice becomes exactly the staged rows
    MERGE = "merge"  # those with the same key fields are replaced, others stay
    GROUPS = "groups"  # as merge, but many rows share a key: each group becomes exactly its staged rows
    APPEND = "append"  # all stay


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One write: which slices of which table, under which job id.

    A slice is (x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date). Every date of `dates` is a separate
    slice, even one without rows. `date_field` names the column with a row's data date (DATE, or a TIMESTAMP taken in
    UTC); None when `dates` has one entry. `dates=None` is for reference tables: the slice is (org, pipeline,
    credential) over all dates, and rows carry the date of ingestion. `source` has the values of the table's
    `current_by` columns that were read, even if the source had no rows.
    """

    job_id: str
    dataset: str
    table: TableSchema
    lineage: Lineage
    dates: tuple[date, ...] | None
    date_field: str | None = None
    mode: WriteMode = WriteMode.OVERWRITE
    key_fields: tuple[str, ...] = ()
    fingerprint: str = ""  # see `Warehouse`
    source: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Effect:
    """A write that took effect: the `fingerprint` it was sent with (empty: by an older version), when it did, and how
    many rows it wrote (None where the warehouse does not know). `partial`: a procedure that commits by itself failed
    after a COMMIT, so sending it again raises `PartlyCommitted`."""

    fingerprint: str
    at: datetime
    rows: int | None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`repeated`: the job id was known, nothing was written, the figures are those of the first time."""

    rows_loaded: int
    rows_removed: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Rows as Python values (Decimal, date, datetime with zone, str, int, float, bool, None, list, dict)."""

    columns: tuple[str, ...] = ()
    rows: list[dict[str, Any]] = field(default_factory=list)
    rows_affected: int = 0
    bytes_processed: int | None = None
    tables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter with its GoogleSQL type, for example `DATE`, `NUMERIC`, `ARRAY<STRING>`."""

    type: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a statement may touch. Names without a dataset mean `dataset`.

    A statement that names any other dataset than `dataset` or one of `readable` is `Denied`.
    """

    dataset: str
    readable: tuple[str, ...] = ()
    writable: bool = False
    lineage: Lineage | None = None  # of the caller; set for writes, whose rows are filled with it or refused


@dataclass(frozen=True, slots=True)
class JobSettings:
    """Where the jobs of an org run, who pays for them and how much at most; None means the installation's own.

    `reservation`: projects/{p}/locations/{l}/reservations/{r}. `bytes_billed_max` and `minutes_max` are of one job.
    """

    project: str | None = None
    reservation: str | None = None
    priority: str | None = None
    bytes_billed_max: int | None = None
    minutes_max: int | None = None


@dataclass(frozen=True, slots=True)
class Routine:
    """A stored procedure: `name` without dataset, the digest of its source, its file."""

    name: str
    digest: str
    source: str
    definition: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """One GoogleSQL statement, and how it is to run.

    With a `job_id` a write happens once, however often it is sent; `fingerprint` then identifies its content. `wait_s`
    needs a `job_id`: a statement that runs longer continues, and the same statement sent again waits for it again. None
    waits to the end. `rows_max` bounds the rows of the result, `bytes_max` what may be read (on BigQuery: billed).
    `timeout_s` ends a statement that runs longer in this process, with `StepFailed`; None is the warehouse's own limit.
    BigQuery has its own and takes none.
    """

    sql: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    _: KW_ONLY
    scope: Scope
    job_id: str | None = None
    rows_max: int = 10_000
    bytes_max: int | None = None
    dry_run: bool = False
    wait_s: float | None = None
    timeout_s: float | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class ProcedureCall:
    """One call of a stored procedure; the fields that it shares with `Statement` mean the same. `repeatable`: it may
    run again after it failed after a COMMIT of its own."""

    procedure: str
    arguments: Mapping[str, Parameter] = field(default_factory=dict)
    _: KW_ONLY
    scope: Scope
    job_id: str
    dry_run: bool = False
    wait_s: float | None = None
    timeout_s: float | None = None
    fingerprint: str = ""
    repeatable: bool = False
