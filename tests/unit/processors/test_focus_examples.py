"""The worked examples of the FOCUS specification (CC BY 4.0) as bills: each is loaded to the last decimal, or refused
with the reason.

Source: FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec, specification/data at the tag v1.2, and drafts after 1.3 (draft_ai).
"""

from __future__ import annotations

import asyncio
import shutil
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.unit.processors.bills import FILES, charges, put, read, total
from tests.unit.processors.installation import CONFIGS, Here, installed

NAMES = sorted(path.stem for path in (FILES / "focus_examples").glob("*.csv"))
DATES = [f"{what}Period{end}" for what in ("Billing", "Charge") for end in ("Start", "End")]
AMERICAN = ", ".join(f'{name}: "%m/%d/%y"' for name in DATES)


def of(*starts: str) -> list[str]:
    """Return the examples whose names begin so."""
    found = [name for name in NAMES if name.startswith(starts)]
    assert found
    return found


def rows_of(name: str) -> list[dict[str, str]]:
    return read(f"focus_examples/{name}.csv")


def month_of(row: dict[str, str]) -> str:
    """Return the month of a row, whose file has 2025-04-01T00:00:00Z or 4/1/25."""
    text = row["BillingPeriodStart"]
    return text[:7] if "-" in text else datetime.strptime(text, "%m/%d/%y").strftime("%Y-%m")


async def imported(here: Here, folder: Path, name: str, month: str) -> str:
    """Import a month of an example; return the error's message, empty when it completed."""
    put(folder, f"{name}/bill.csv", (FILES / "focus_examples" / f"{name}.csv").read_bytes())
    day = {"start_date": f"{month}-10", "end_date": f"{month}-10"}
    run = await here.run("focus/import", path=f"{name}/", currencies=["USD"], **day)
    return str((run.error or {}).get("message", ""))


def with_american_dates(folder: Path) -> Path:
    """Return configs in which focus/import is told how the file writes dates."""
    configs = folder / "configs"
    shutil.copytree(CONFIGS, configs)
    pipeline = configs / "focus/import.yml"
    line = "      row_id: row_id\n"
    assert line in pipeline.read_text()
    pipeline.write_text(pipeline.read_text().replace(line, f"{line}      date_formats: {{{AMERICAN}}}\n"))
    return configs


def test_there_are_29_and_each_is_in_one_test() -> None:
    assert len(NAMES) == 29
    assert sorted(of("commitment_", "draft_ai__", "saas_examples__")) == NAMES


def test_examples_that_are_no_whole_bills_are_refused(tmp_path: Path) -> None:
    """Those of commitments have no currency; those of agreements have $10,000.00 and 4/1/25, which is not guessed."""

    async def main() -> None:
        async with installed(tmp_path) as here:
            for name in of("commitment_"):
                assert "there is no column 'BillingCurrency'" in await imported(here, tmp_path, name, "2023-01")
            for name in of("saas_examples__"):
                said = await imported(here, tmp_path, name, month_of(rows_of(name)[0]))
                assert "line 2: " in said
                assert "column 'ChargePeriodStart' is not TIMESTAMP in ISO 8601 (date_formats" in said
                assert ("column 'BilledCost' is not BIGNUMERIC: '$" in said) == ("simple_agreements" in name)

    asyncio.run(main())


def test_examples_of_language_models_add_up(tmp_path: Path) -> None:
    """Columns that FOCUS 1.3 does not have are kept."""

    async def main() -> None:
        async with installed(tmp_path) as here:
            for name in of("draft_ai__"):
                assert await imported(here, tmp_path, name, month_of(rows_of(name)[0])) == ""
                await same(here, rows_of(name))
            multi = sorted(row["CredentialId"] for row in rows_of("draft_ai__multi_model_usage"))
            kept = "JSON_VALUE(x_SourceColumns, '$.x_CredentialId')"
            found = await charges(here, kept, f"WHERE {kept} IS NOT NULL ORDER BY 1")
            assert found == [(each,) for each in multi]

    asyncio.run(main())


def test_examples_of_virtual_currencies_add_up_once_their_dates_are_explained(tmp_path: Path) -> None:
    """Prices are in tokens (PricingCurrency), the cost is in dollars."""

    async def main() -> None:
        async with installed(tmp_path, configs=with_american_dates(tmp_path)) as here:
            for name in of("saas_examples__virtual_currency"):
                rows = rows_of(name)
                assert await imported(here, tmp_path, name, month_of(rows[0])) == ""
                await same(here, rows)
                found = await charges(here, "PricingCurrency, PricingCurrencyEffectiveCost", whole(rows))
                said = [(row["PricingCurrency"], Decimal(row["PricingCurrencyEffectiveCost"] or 0)) for row in rows]
                assert sorted(found) == sorted(said)
            for name in of("saas_examples__spend_agreements"):  # its category Database is not one of FOCUS
                assert "CAU-ServiceCategory-C-003-M" in await imported(here, tmp_path, name, "2025-04")

    asyncio.run(main())


def whole(rows: list[dict[str, str]]) -> str:
    """Return the condition for the month of an example."""
    return f"WHERE DATE(BillingPeriodStart) = DATE '{month_of(rows[0])}-01'"


async def same(here: Here, rows: list[dict[str, str]]) -> None:
    """Check the month's charges against the file."""
    names = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
    sums = ", ".join(f"SUM({name})" for name in names)
    expected: list[tuple[Any, ...]] = [(len(rows), *(total(rows, name) for name in names))]
    assert await charges(here, f"COUNT(*), {sums}", whole(rows)) == expected
