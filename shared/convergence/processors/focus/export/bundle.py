"""The bundle of one billing period: a file for each data set, and a manifest that lists what they contain and lack.

Charges are read day by day in pages, and counted and summed by the warehouse before and after, so that a bundle never
mixes the charges before a run with those after it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from convergence.domain.billing_periods import BillingPeriod
from convergence.domain.invoices import Invoice
from convergence.domain.money import exact_sum
from convergence.domain.sql_names import bigquery_name
from convergence.domain.times import following_month
from convergence.errors import Transient
from convergence.ports.warehouse import Row, TableSchema
from convergence.processors.focus.export.datasets import COST_AND_USAGE, Field, Version, cost_and_usage
from convergence.processors.focus.export.facts import (
    COMMITMENT_FIELDS,
    TERMS,
    Dataset,
    billing_periods,
    contract_commitments,
    invoice_details,
)
from convergence.processors.focus.export.rows import DataFile, Figures, Format, number, to_second

TABLE: Final = "cost_data_standard_1_3"
MANIFEST: Final = "manifest.json"
NOT_KEPT: Final = "no source of this org delivers it"
COMMITMENTS: Final = "contract_commitment_1_3"


class Source(Protocol):
    """The source of the rows. `page_rows` bounds the rows of one answer."""

    page_rows: int

    async def rows(self, sql: str) -> Sequence[Row]:
        """Return the rows of a SELECT, at most `page_rows`."""
        ...

    async def periods(self) -> Sequence[BillingPeriod]:
        """Return the billing periods that are recorded."""
        ...

    async def invoices(self) -> Sequence[Invoice]:
        """Return the invoices that are recorded."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What to export of an org: one period, in one version and format."""

    org: str
    month: date
    version: Version
    format: Format
    table: TableSchema

    async def write(self, source: Source, folder: Path, now: datetime) -> Mapping[str, Any]:
        """Write all files into `folder`, which exists and is empty; return the manifest.

        Raises:
            Transient: charges of the period changed while they were read.
        """
        charges, issuers = await self._cost_and_usage(source, folder)
        written, missing = {COST_AND_USAGE: charges}, []
        for dataset in await self._recorded(source, issuers):
            missing += [{"dataset": dataset.name, "reason": reason} for reason in dataset.missing]
            if dataset.rows:
                written[dataset.name] = self._write_rows(folder, dataset)
        manifest = {
            "org": self.org,
            "focus_version": self.version,
            "billing_period_start": _midnight(self.month),
            "billing_period_end": _midnight(following_month(self.month)),
            "created_at": to_second(now),
            "delivery_handling": "Overwrite",
            "correction_handling": "Replacement",
            "datasets": written,
            "missing": missing,
        }
        (folder / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n")
        return manifest

    async def _recorded(self, source: Source, issuers: Sequence[str]) -> list[Dataset]:
        """Return the data sets other than the charges."""
        contracts = contract_commitments(await self._commitments(source), self.version)
        if self.version == "1.3":
            return [contracts]
        return [
            billing_periods(await source.periods(), self.month, issuers),
            invoice_details(await source.invoices(), self.month, issuers),
            contracts,
        ]

    async def _commitments(self, source: Source) -> list[Row]:
        """Return the commitments that begin in or reach into the period, if only in part."""
        columns = [each.name for each in COMMITMENT_FIELDS] + ([TERMS] if self.version == "1.4" else [])
        names = ", ".join(map(bigquery_name, columns))
        first, behind = self._bounds()
        sql = (
            f"SELECT {names} FROM {COMMITMENTS} WHERE ContractCommitmentPeriodStart < {behind}"
            f" AND ContractCommitmentPeriodEnd > {first} ORDER BY ContractCommitmentId"
        )
        found: list[Row] = []
        while len(found) % source.page_rows == 0:
            page = await source.rows(f"{sql} LIMIT {source.page_rows} OFFSET {len(found)}")
            found += page
            if not page:
                break
        return found

    def _write_rows(self, folder: Path, dataset: Dataset) -> Mapping[str, Any]:
        with DataFile(self._path(folder, dataset.name), dataset.fields, self.format) as file:
            file.write(dataset.rows)
        return _finished(file, dataset.fields)

    def _path(self, folder: Path, name: str) -> Path:
        return folder / f"{name}.{self.format}"

    async def _cost_and_usage(self, source: Source, folder: Path) -> tuple[Mapping[str, Any], list[str]]:
        """Write the charges; return what the manifest says of them, and their invoice issuers."""
        fields = cost_and_usage(self.table, self.version)
        days = await self._totals(source)
        with DataFile(self._path(folder, COST_AND_USAGE), fields, self.format) as file:
            for day in days:
                await self._copy_day(source, file, fields, day)
        if await self._totals(source) != days or not _agree(days, file.figures):
            raise Transient(
                f"charges of {self.month:%Y-%m} changed while they were read: export the period again while no run"
                " writes it"
            )
        return _finished(file, fields), sorted(file.figures.issuers)

    async def _copy_day(self, source: Source, file: DataFile, fields: Sequence[Field], day: Row) -> None:
        names = ", ".join(bigquery_name(each.name) for each in fields if each.stored)
        sql = (
            f"SELECT {names} FROM {bigquery_name(TABLE)}"
            f" WHERE x_pipeline_run_date = DATE '{day['day']}' AND {self._in_period()}"
            f" ORDER BY {bigquery_name('x_ChargeId')}, {names}"
        )
        for offset in range(0, int(day["n"]), source.page_rows):
            page = await source.rows(f"{sql} LIMIT {source.page_rows} OFFSET {offset}")
            await asyncio.to_thread(file.write, page)

    async def _totals(self, source: Source) -> list[Row]:
        """Return rows and costs of each day that the period's charges are stored under."""
        return list(
            await source.rows(
                "SELECT x_pipeline_run_date AS day, COUNT(*) AS n, SUM(BilledCost) AS billed, SUM(EffectiveCost) AS"
                f" effective, MAX(x_ingested_at) AS at FROM {bigquery_name(TABLE)} WHERE {self._in_period()}"
                " GROUP BY x_pipeline_run_date ORDER BY x_pipeline_run_date"
            )
        )

    def _in_period(self) -> str:
        first, behind = self._bounds()
        return f"BillingPeriodStart >= {first} AND BillingPeriodStart < {behind}"

    def _bounds(self) -> tuple[str, str]:
        """Return the period's first moment and the first one after it, in SQL."""
        first, behind = (f"TIMESTAMP '{day} 00:00:00+00'" for day in (self.month, following_month(self.month)))
        return first, behind


def _finished(file: DataFile, fields: Sequence[Field]) -> Mapping[str, Any]:
    """Name the file after its content; return what the manifest says of it."""
    with file.path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    path = file.path.rename(file.path.with_stem(f"{file.path.stem}-{digest[:12]}"))
    size = path.stat().st_size
    return {"file": path.name, "bytes": size, "sha256": digest, **described(fields, file.figures)}


def described(fields: Sequence[Field], figures: Figures) -> dict[str, Any]:
    """Return what a manifest says of a file's rows."""
    unknown = [
        {"column": each.name, "rows": figures.rows, "reason": NOT_KEPT}
        for each in fields
        if not each.stored and figures.rows
    ]
    unknown += [
        {"column": name, "rows": rows, "reason": "what is stored has no value"}
        for name, rows in sorted(figures.unknown.items())
    ]
    return {
        "rows": figures.rows,
        "sums": {
            currency: {name: number(value) for name, value in sums.items()}
            for currency, sums in sorted(figures.sums.items())
            if sums
        },
        "unknown": unknown,
        "rounded": [
            {"column": name, "values": count, "difference": number(figures.differences[name])}
            for name, count in sorted(figures.rounded.items())
        ],
    }


def _midnight(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"


def _agree(days: Sequence[Row], figures: Figures) -> bool:
    billed = exact_sum(Decimal(day["billed"]) for day in days)
    effective = exact_sum(Decimal(day["effective"]) for day in days)
    rows = sum(int(day["n"]) for day in days)
    return (rows, billed, effective) == (figures.rows, figures.total("BilledCost"), figures.total("EffectiveCost"))
