"""`generic.focus_export`: the org's charges as FOCUS files, a bundle for each billing period of the run's days.

A bundle replaces the previous one as a whole, so its consumers never have to remove duplicates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from pydantic import field_validator

from convergence.domain.billing_periods import BillingPeriod
from convergence.domain.invoices import Invoice
from convergence.errors import InvalidInput, StepFailed
from convergence.ports.object_store import Place, WritableStore
from convergence.ports.processor import CONTINUE, SUCCESS, Context
from convergence.ports.warehouse import Row
from convergence.processors.focus.export.bundle import COMMITMENTS, TABLE
from convergence.processors.focus.export.datasets import Version
from convergence.processors.focus.export.deliver import Delivery, Export
from convergence.processors.focus.export.places import Below, bucket_of
from convergence.processors.focus.export.rows import Format
from convergence.processors.settings import Settings, settings

SLICE_S: Final = 60.0  # of work; then the step continues from its checkpoint, with the next period


class ExportSettings(Settings):
    """In which version of FOCUS, in which format, and where to: `folder` is one below the org's folder of files,
    `to_url` a bucket in its place, which the credential `secret` opens (by default that of the bucket's cloud)."""

    version: Version = "1.4"
    format: Format = "parquet"
    folder: str = "exports"
    to_url: str = ""
    secret: str = ""

    @field_validator("to_url")
    @classmethod
    def _is_a_bucket(cls, value: str) -> str:
        try:
            if value:
                bucket_of(value)
        except InvalidInput as error:
            raise ValueError(str(error)) from error
        return value

    def opens(self) -> Sequence[Sequence[str]]:
        """Return the name of the credential, as `UsesCredentials` requires."""
        return ((self.secret or bucket_of(self.to_url).provider,),) if self.to_url else ()


class StepSource:
    """Rows out of the step's warehouse."""

    page_rows = 10_000

    def __init__(self, context: Context) -> None:
        self._context = context

    async def rows(self, sql: str) -> Sequence[Row]:
        """Return the rows of a SELECT."""
        return (await self._context.warehouse.query(sql, rows_max=self.page_rows)).rows

    async def periods(self) -> Sequence[BillingPeriod]:
        """Return the billing periods."""
        return await self._context.billing_periods()

    async def invoices(self) -> Sequence[Invoice]:
        """Return the invoices."""
        return await self._context.invoices()


class ExportProcessor:
    """Every period is complete before its files replace those of the previous export. When time is up, the step
    continues with the next one."""

    config_model = ExportSettings
    resumable = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Export the periods; the result names their folders and counts their charges, or holds the checkpoint of a
        slice."""
        options = settings(ExportSettings, step_config)
        table = context.warehouse.schema(TABLE)
        if table is None:
            raise StepFailed(f"the configs folder has no schema of {TABLE}: copy it from the product's configs")
        for name in (TABLE, COMMITMENTS):
            await context.warehouse.ensure_table(name)
        delivery = await _delivery(options, context)
        export = Export(
            org=context.org_slug,
            first=context.start_date,
            last=context.end_date,
            version=options.version,
            format=options.format,
            table=table,
        )
        where = (options.to_url or options.folder).partition("?")[0].rstrip("/")
        months, over = export.months(), context.now() + timedelta(seconds=SLICE_S)
        rows, periods = 0, list[str]()
        if context.checkpoint:
            rows, periods = context.checkpoint["rows"], list(context.checkpoint["periods"])
        for month in months[len(periods) :]:
            manifest = await export.deliver(month, StepSource(context), delivery, context.now)
            rows += manifest["datasets"]["CostAndUsage"]["rows"]
            periods.append(f"{where}/{manifest['path']}")
            if len(periods) < len(months) and context.now() >= over:
                return {"status": CONTINUE, "checkpoint": {"rows": rows, "periods": periods}, "rows_staged": rows}
        return {"status": SUCCESS, "rows_processed": rows, "rows_written": rows, "periods": periods}


async def _delivery(options: ExportSettings, context: Context) -> Delivery:
    """Open where the files go."""
    if not options.to_url:
        place, folder, secret = Place(kind="folder", root=options.folder), "", ""
    else:
        bucket = bucket_of(options.to_url)
        place, folder = bucket.place, bucket.folder
        secret = await context.secrets.open(options.secret or bucket.provider)
    store = await context.objects.open(place, secret)
    if not isinstance(store, WritableStore):
        raise StepFailed(f"a place of the kind {place.kind} takes no files")
    return Below(store, folder)


def get_engine() -> ExportProcessor:
    """Return the processor."""
    return ExportProcessor()
