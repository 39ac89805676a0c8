"""The common part of all clouds' extractors: a bill in one of its forms → the cloud's raw table, a month at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import Field

from convergence.ports.processor import Context
from convergence.processors.cloud.forms import Form
from convergence.processors.files.settings import FileSettings, Source
from convergence.processors.generic.file_extractor import load_files
from convergence.processors.generic.target import Target
from convergence.processors.settings import Settings, settings, table_of

_NO_VALUE: Final = ("", "NULL", "null")


class BillSettings(Settings):
    """`secret`: the credential that opens the place. `currencies`: those that the bill may be in; empty: any.

    `allow_shrink`: a delivery may have fewer days than are stored.
    """

    secret: str = ""
    currencies: Sequence[str] = ()
    allow_shrink: bool = False
    on_bad_row: Literal["stop", "quarantine"] = "quarantine"
    bad_rows_max: int = Field(default=1_000, ge=1, le=10_000)
    pattern: str = "*"
    delivery: Literal["", "listing", "aws_export", "aws_cur", "azure_export"] = ""

    def opens(self) -> Sequence[Sequence[str]]:
        """Return the name of the credential, as `UsesCredentials` requires."""
        return ((self.secret,),) if self.secret else ()


async def load_bill(
    form: Form, options: BillSettings, step_config: Mapping[str, Any], table: str, context: Context
) -> Mapping[str, Any]:
    """Load the bills of the run's months; costs of these sources are floats, so they are rounded to 18 digits."""
    source = settings(Source, step_config, "source")
    target = Target(table=table_of(step_config, table), date_field="ChargePeriodStart")
    constants: dict[str, str] = {"source_format": form.source_format}
    if form.period == "usage":
        constants["BillingPeriodStart"] = "%Y-%m-01T00:00:00Z"
    files = FileSettings(
        secret=options.secret,
        delivery=options.delivery or form.delivery,
        pattern=options.pattern,
        period="month",
        period_column="ChargePeriodStart" if form.period == "usage" else "BillingPeriodStart",
        period_rows="within" if form.period == "usage" else "start",
        late_days=form.late_days,
        null_texts=_NO_VALUE,
        columns=form.columns,
        constants=constants,
        optional_columns=("*",),
        unknown_columns="keep",
        row_id="row_id",
        date_formats=form.date_formats,
        allowed={"BillingCurrency": options.currencies} if options.currencies else {},
        extra_digits="round",
        on_bad_row=options.on_bad_row,
        bad_rows_max=options.bad_rows_max,
        allow_shrink=options.allow_shrink,
        files_max=10_000,
    )
    return await load_files(source, files, target, context)
