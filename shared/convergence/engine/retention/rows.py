"""Rows of the warehouse that are kept for long enough: the log's, and those that were set aside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from convergence.config.files.models import Retention
from convergence.engine.log_rows import TABLES
from convergence.engine.services import Services
from convergence.ports.warehouse import PARTITION_BY, WRITTEN_LOGS, ExpiredRows, RowRemover

_QUARANTINE: Final = "org_meta_quarantine_rows"


async def remove_rows(services: Services, *, wake: bool) -> int:
    """Remove rows that have expired; return how many. `wake` False: only in a warehouse that is in use.

    BigQuery is not queried: partitions expire there, the log's (infra/bigquery.tf) and those of `kept_by_partitions`.
    """
    warehouse = services.warehouse
    return await warehouse.remove_expired(_expired(services), wake=wake) if isinstance(warehouse, RowRemover) else 0


async def count_rows(services: Services) -> int:
    """Count what `remove_rows` would remove."""
    warehouse = services.warehouse
    return await warehouse.count_expired(_expired(services)) if isinstance(warehouse, RowRemover) else 0


def kept_by_partitions(retention: Callable[[], Retention], table: str) -> timedelta | None:
    """Return how long rows of an org's table stay, None for good; for a warehouse whose partitions expire."""
    if table == _QUARANTINE:
        return timedelta(days=retention().quarantined_rows.days)
    return timedelta(days=retention().log_rows.days) if table in WRITTEN_LOGS.values() else None


def _expired(services: Services) -> list[ExpiredRows]:
    today, kept = services.clock.now().date(), services.retention()
    log, aside = (today - timedelta(days=each.days) for each in (kept.log_rows, kept.quarantined_rows))
    tables = sorted({*TABLES.values(), *WRITTEN_LOGS.values()})
    return [
        *(ExpiredRows(table, PARTITION_BY, log) for table in tables),
        ExpiredRows(_QUARANTINE, "x_ingestion_date", aside),
    ]
