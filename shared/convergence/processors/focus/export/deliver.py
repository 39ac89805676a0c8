"""Bundles of several billing periods, each replaced as a whole where it is delivered."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from convergence.domain.times import following_month
from convergence.errors import InvalidInput
from convergence.ports.warehouse import TableSchema
from convergence.processors.focus.export.bundle import MANIFEST, Bundle, Source
from convergence.processors.focus.export.datasets import COST_AND_USAGE, Version
from convergence.processors.focus.export.facts import BILLING_PERIOD, CONTRACT_COMMITMENT, INVOICE_DETAIL
from convergence.processors.focus.export.rows import Format

PERIODS_MAX: Final = 120
DATASETS: Final = (COST_AND_USAGE, BILLING_PERIOD, CONTRACT_COMMITMENT, INVOICE_DETAIL)
# A data file; those of earlier releases have no digest in their names.
_DATA_FILE: Final = re.compile(rf"({'|'.join(DATASETS)})(-[0-9a-f]{{12}})?\.(csv|parquet)")


class Delivery(Protocol):
    """Where files go. A reader sees either the old file or the new one, never a part of one."""

    async def names(self, folder: str) -> Sequence[str]:
        """Return the names of the files that are directly in `folder`, without its own."""
        ...

    async def put(self, name: str, content: Path) -> None:
        """Store a file, in the place of one of the same name; `name` has folders, with `/`."""
        ...

    async def remove(self, name: str) -> None:
        """Remove a file; one that does not exist is not an error."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What is exported: the billing periods that the days from `first` to `last` are in."""

    org: str
    first: date
    last: date
    version: Version
    format: Format
    table: TableSchema

    def months(self) -> list[date]:
        """Return the first day of each period. Raises `InvalidInput` for none, or too many."""
        months: list[date] = []
        month = self.first.replace(day=1)
        while month <= self.last and len(months) <= PERIODS_MAX:
            months.append(month)
            month = following_month(month)
        if not months:
            raise InvalidInput(f"an export from {self.first} to {self.last} has no days")
        if len(months) > PERIODS_MAX:
            raise InvalidInput(f"an export may have at most {PERIODS_MAX} billing periods: split it")
        return months

    async def run(self, source: Source, delivery: Delivery, now: Callable[[], datetime]) -> Sequence[dict[str, Any]]:
        """Deliver each period; return the manifests, as `deliver` does."""
        return [await self.deliver(month, source, delivery, now) for month in self.months()]

    async def deliver(
        self, month: date, source: Source, delivery: Delivery, now: Callable[[], datetime]
    ) -> dict[str, Any]:
        """Deliver a period: its files, then its manifest, which names them; then the other data files are removed.

        Files are named after their content, so the manifest of the previous delivery stays valid until it is replaced.
        Returns the manifest with `path`, the folder of the period.
        """
        with tempfile.TemporaryDirectory(prefix="convergence-focus-") as folder:
            bundle = Bundle(org=self.org, month=month, version=self.version, format=self.format, table=self.table)
            manifest = await bundle.write(source, Path(folder), now())
            path = f"{self.version}/{month:%Y-%m}"
            await _replace(delivery, path, Path(folder), [each["file"] for each in manifest["datasets"].values()])
        return {"path": path, **manifest}


async def _replace(delivery: Delivery, path: str, folder: Path, files: Sequence[str]) -> None:
    for name in (*files, MANIFEST):
        await delivery.put(f"{path}/{name}", folder / name)
    for name in await delivery.names(path):
        if name not in files and _DATA_FILE.fullmatch(name):
            await delivery.remove(f"{path}/{name}")
