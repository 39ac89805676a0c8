"""What `gcp.bq_etl` reads: its settings, and the one statement that results from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from pydantic import AliasChoices, Field

from convergence.config.sql.values import bind
from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter, WriteMode
from convergence.processors.gcp.export_query import EXPORT, export_parameters, export_sql
from convergence.processors.generic.arguments import Argument, arguments
from convergence.processors.generic.bq_execute import Sql
from convergence.processors.generic.target import Target
from convergence.processors.settings import CredentialSettings, Settings

_PROJECT: Final = r"[a-z](?:[a-z0-9.:-]{4,60}[a-z0-9])"
_WHOLE: Final = re.compile(rf"{_PROJECT}\.[A-Za-z0-9_]{{1,1024}}\.[A-Za-z0-9_-]{{1,1024}}")


class Source(Settings):
    """What is read: `table`, or a `query` with its `parameters` (`@start_date` and `@end_date` are always defined).

    `table` is project.dataset.table, or the last part with `bq_project_id` and `dataset` before it. Without a query it
    is a billing export, standard or detailed. `bq_project_id` is also where the query runs and who pays for it.
    """

    use_org_credentials: bool = True
    bq_project_id: str = ""
    dataset: str = ""
    table: str = ""
    query: Sql | None = None
    parameters: tuple[Argument, ...] | Mapping[str, Any] = ()


class EtlSettings(CredentialSettings):
    """`overlap_days`: rows exported up to so many days before the run's first day are read again.

    `bytes_max` is what the query may bill at most; `location` where it runs, by default that of its tables.
    """

    secret: str = "gcp"  # noqa: S105 - the name of a secret
    api_base_url: str = ""
    location: str = ""
    overlap_days: int = Field(default=3, ge=0, le=62)
    page_rows: int = Field(default=5_000, ge=1, le=100_000)
    bytes_max: int | None = Field(
        default=None, ge=1, validation_alias=AliasChoices("bytes_max", "maximum_bytes_billed", "max_bytes_billed")
    )
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """One statement. `grouped`: rows of an export, which replace their groups; else `dates` are those of the load."""

    sql: str
    values: Mapping[str, Parameter]
    job_project: str
    grouped: bool
    dates: list[date] | None = None


def reading(source: Source, options: EtlSettings, target: Target, context: Context) -> Read:
    """Return what to read. Raises `StepFailed` for names and modes that do not fit together."""
    if not source.use_org_credentials:
        raise StepFailed(
            "source.use_org_credentials: the org's own service account reads the org's export; set true, and store its"
            " key with gcp/auth/setup"
        )
    if source.query is not None:
        return _query(source, target, context)
    table = _whole_name(source)
    if not EXPORT.fullmatch(table.rpartition(".")[2]):
        raise StepFailed(
            f"source.table: {table!r} is not a billing export (gcp_billing_export_v1_ACCOUNT or"
            " gcp_billing_export_resource_v1_ACCOUNT); give source.query to read another table"
        )
    if target.mode not in {WriteMode.OVERWRITE, WriteMode.GROUPS}:
        raise StepFailed(
            f"destination.write_mode {target.mode}: rows of an export are restated, so days are replaced; leave it out"
        )
    values = export_parameters(context.start_date, context.end_date, options.overlap_days)
    return Read(export_sql(table), values, source.bq_project_id or table.partition(".")[0], grouped=True)


def _query(source: Source, target: Target, context: Context) -> Read:
    sql, bound = bind(source.query or "")
    typed = source.parameters if not isinstance(source.parameters, Mapping) else ()
    plain = source.parameters if isinstance(source.parameters, Mapping) else {}
    days = {"start_date": Parameter("DATE", context.start_date), "end_date": Parameter("DATE", context.end_date)}
    values = {**days, **bound, **arguments(typed, plain)}
    return Read(sql, values, source.bq_project_id, grouped=False, dates=target.slices(context))


def _whole_name(source: Source) -> str:
    """Return project.dataset.table. Raises `StepFailed` for anything else: the name goes into the statement."""
    parts = [part for part in (source.bq_project_id, source.dataset) if part and source.table.count(".") == 0]
    name = ".".join([*parts, source.table]).replace("`", "")
    if not _WHOLE.fullmatch(name):
        raise StepFailed(
            f"source.table: {name!r} is not project.dataset.table; give it in full, or with bq_project_id and dataset"
        )
    return name
