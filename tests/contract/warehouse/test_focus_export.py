"""FOCUS files and closed billing periods on both warehouses: the same statements, the same values."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, cast

import duckdb

from convergence.config.files.schemas.folder import TableSchemas
from convergence.domain.billing_periods import PeriodKey
from convergence.ports.warehouse import Warehouse
from convergence.processors.focus.export.bundle import COMMITMENTS, Bundle
from convergence.processors.generic.focus_export import StepSource
from tests.contract.warehouse.world import Body
from tests.unit.processors.focus_charges import VISIBLE, charge, gate
from tests.unit.processors.step_world import CONFIGS, ManualClock, WorldContext

MONTH: Final = date(2026, 11, 1)
SHOWN: Final = ("x_ChargeId", "BilledCost", "ListUnitPrice", "BillingPeriodStart", "ChargeDescription")

START: Final = datetime(2026, 11, 1, tzinfo=UTC)


def parquet_rows(file: Path) -> list[Any]:
    """Return the first columns of `SHOWN` as another reader finds them."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(f"SELECT {', '.join(SHOWN[:4])} FROM '{file}' ORDER BY x_ChargeId").fetchall()


def test_the_files_are_the_same_everywhere_and_a_closed_period_stays(
    run: Callable[[Body], None], tmp_path: Path
) -> None:
    async def body(warehouse: Warehouse) -> None:
        context = WorldContext(None, cast("Any", warehouse), ManualClock())
        context.provider = "openai"
        await gate(context, [charge(1), charge(2), charge(3, ChargeDescription='a "b",\nc')])
        await context.warehouse.ensure_table(COMMITMENTS)
        source = StepSource(context)
        source.page_rows = 2
        bundle = Bundle(org="acme", month=MONTH, version="1.4", format="csv", table=TableSchemas(CONFIGS).get(VISIBLE))
        manifest = await bundle.write(source, tmp_path, context.now())
        facts = manifest["datasets"]["CostAndUsage"]
        assert (facts["rows"], facts["sums"]["USD"]["BilledCost"]) == (3, "18")
        typed = replace(bundle, format="parquet")
        same = (await typed.write(source, tmp_path, context.now()))["datasets"]["CostAndUsage"]
        assert same["file"] == f"CostAndUsage-{same['sha256'][:12]}.parquet"
        assert (same["sums"], same["rounded"]) == (facts["sums"], facts["rounded"])
        assert parquet_rows(tmp_path / same["file"]) == [
            (name, Decimal(6), Decimal(4), START) for name in ("c1", "c2", "c3")
        ]
        with (tmp_path / facts["file"]).open(newline="") as file:
            written = [tuple(row[name] for name in SHOWN) for row in csv.DictReader(file)]
        assert written == [
            ("c1", "6", "4", "2026-11-01T00:00:00Z", "Tokens"),
            ("c2", "6", "4", "2026-11-01T00:00:00Z", "Tokens"),
            ("c3", "6", "4", "2026-11-01T00:00:00Z", 'a "b",\nc'),
        ]

        context.closed = [PeriodKey(MONTH, "OpenAI", "acc-1")]
        context.run_id = "run_2"
        await gate(context, [charge(1), charge(2), charge(3), charge(4)])  # the fourth is charged in December
        await gate(context, [charge(1), charge(2), charge(3, ChargeDescription='a "b",\nc')])
        again = await bundle.write(source, tmp_path, context.now())
        assert again["datasets"]["CostAndUsage"] == facts
        assert again["datasets"]["BillingPeriod"]["rows"] == 1

    run(body)
