"""Where an export reads and writes: this machine's data or a server's, and a folder."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from convergence.domain.billing_periods import BillingPeriod
from convergence.domain.invoices import Invoice
from convergence.engine.services import Services, dataset_of
from convergence.engine.views.query import TIMEOUT_MAX_S, QueryAnswer, result_of
from convergence.entry.cli.server import Server, quoted
from convergence.ports.warehouse import Row, Scope, Statement
from convergence.tenants.billing import BillingStore


class LocalSource:
    """Rows out of the warehouse that this process has open."""

    page_rows = 10_000

    def __init__(self, services: Services, org: str) -> None:
        self._services, self._org = services, org
        self._scope = Scope(dataset=dataset_of(services, org))

    async def rows(self, sql: str) -> Sequence[Row]:
        """Return the rows of a SELECT."""
        statement = Statement(sql, scope=self._scope, rows_max=self.page_rows)
        return (await self._services.warehouse.query(statement)).rows

    async def periods(self) -> Sequence[BillingPeriod]:
        """Return the billing periods."""
        return await BillingStore(self._services.documents).periods(self._org)

    async def invoices(self) -> Sequence[Invoice]:
        """Return the invoices."""
        return await BillingStore(self._services.documents).invoices(self._org)


class ServerSource:
    """Rows that a server answers with; a page fits into an answer's 16 MiB."""

    page_rows = 2_000

    def __init__(self, server: Server, org: str) -> None:
        self._server, self._org = server, org

    async def rows(self, sql: str) -> Sequence[Row]:
        """Return the rows of a SELECT."""
        body = {"sql": sql, "limit": self.page_rows, "timeout_s": TIMEOUT_MAX_S}
        answer = await asyncio.to_thread(self._server.ask, "POST", f"/query/{quoted(self._org)}", json=body)
        return result_of(cast("QueryAnswer", answer)).rows

    async def periods(self) -> Sequence[BillingPeriod]:
        """Return the billing periods."""
        answer = await asyncio.to_thread(self._server.get, f"/organizations/{quoted(self._org)}/billing-periods")
        return [BillingPeriod.from_data(each) for each in answer["periods"]]

    async def invoices(self) -> Sequence[Invoice]:
        """Return the invoices."""
        answer = await asyncio.to_thread(self._server.get, f"/organizations/{quoted(self._org)}/invoices")
        return [Invoice.from_data(each) for each in answer["invoices"]]


class LocalFolder:
    """A folder of this machine, as a `Delivery`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def names(self, folder: str) -> Sequence[str]:
        """Return the names of the files in a folder."""
        return [path.name for path in (self._root / folder).iterdir() if path.is_file()]

    async def put(self, name: str, content: Path) -> None:
        """Store a file, in the place of one of the same name."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        try:
            await asyncio.to_thread(shutil.copyfile, content, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    async def remove(self, name: str) -> None:
        """Remove a file."""
        (self._root / name).unlink(missing_ok=True)
