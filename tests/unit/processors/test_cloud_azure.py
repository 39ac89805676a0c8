"""Azure: exports in a container (the real client, Azurite) to FOCUS charges, from the real sample files."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from tests.azurite.server import ACCOUNT, KEY, running, signature
from tests.unit.processors.bills import FILES, charges, passes, raw, read, rounded, total, with_address
from tests.unit.processors.installation import Here, installed

OWN = json.dumps({"account_key": KEY})
SEPTEMBER = {"start_date": "2023-09-20", "end_date": "2023-09-20"}
PLACE = {"account": ACCOUNT, "container": "exports", "path": "costs/daily/"}
EXPORT = {**PLACE, **SEPTEMBER}
OF_RAW = (
    "AS charge JOIN cloud_azure_billing_raw_daily AS raw"
    " ON raw.x_pipeline_id = charge.x_SourcePipelineId AND raw.row_id = charge.x_SourceRowId"
)
SUBMITTED = "2023-10-01T08:00:00.0000000Z"


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[tuple[Path, ContainerClient]]:
    """The configs of an installation for which Azure is Azurite, and a container there."""
    (tmp_path / "azurite").mkdir()
    with running(tmp_path / "azurite") as server, server.container("exports") as container:
        yield with_address(tmp_path, "Azure", server.url), container


def using(tmp_path: Path, configs: Path, work: Callable[[Here], Coroutine[Any, Any, None]], key: str = OWN) -> None:
    async def main() -> None:
        async with installed(tmp_path / "data", configs=configs) as here:
            await here.good("azure/auth/setup", api_key=key)
            await work(here)

    asyncio.run(main())


def export(
    container: ContainerClient, *parts: bytes, run: str = "run-1", submitted: str = SUBMITTED, year: int = 2023
) -> list[str]:
    """Deliver a run of September's export; return the names of its parts."""
    folder = f"costs/daily/{year}0901-{year}0930/{run}"
    names = [f"{folder}/part_0_{number:04}.csv" for number in range(1, len(parts) + 1)]
    for name, data in zip(names, parts, strict=True):
        container.upload_blob(name, data, overwrite=True)
    blobs = [{"blobName": name, "byteCount": len(data)} for name, data in zip(names, parts, strict=True)]
    manifest = {"blobs": blobs, "runInfo": {"runId": run, "submittedTime": submitted}}
    container.upload_blob(f"{folder}/manifest.json", json.dumps(manifest), overwrite=True)
    return names


def test_exports_of_actual_and_amortised_costs(tmp_path: Path, azure: tuple[Path, ContainerClient]) -> None:
    """They begin with a byte order mark, dates are 09/21/2023; the amortised one has up to 28 digits."""
    actual, amortised = read("ea_actual_cost_small.csv"), read("ea_amortized_cost_small.csv")
    configs, container = azure

    async def work(here: Here) -> None:
        export(container, raw("ea_actual_cost_small.csv"))
        await here.good("azure/auth/validate", account="acmebills", container="exports", path="costs/")
        passes(await here.good("cloud/azure/cost/billing", export="cost", **EXPORT), 11)
        tags = await charges(here, "Tags", "WHERE Tags IS NOT NULL AND Tags <> '{}'")
        said = [row["Tags"] for row in actual if row["Tags"]]
        assert sorted(map(str, (json.loads(each) for (each,) in tags))) == sorted(
            str(json.loads("{" + each + "}")) for each in said
        )
        assert len(said) > 5
        found = await charges(here, "ChargeCategory, COUNT(*), SUM(BilledCost)", "GROUP BY 1 ORDER BY 1")
        bought = [row for row in actual if row["ChargeType"] == "Purchase"]
        used = [row for row in actual if row["ChargeType"] == "Usage"]
        assert found == [
            ("Purchase", 1, total(bought, "Cost")),
            ("Usage", 10, total(used, "Cost")),
        ]
        assert await charges(here, "COUNTIF(ListCost IS NULL)") == [(11,)]
        counted = "ConsumedUnit, SUM(ConsumedQuantity)"
        assert await charges(here, counted, "WHERE ChargeCategory = 'Usage' GROUP BY 1 ORDER BY 1") == [
            ("Hours", Decimal(53)),  # 1 Hour: 24 + 2 + 1 + 2 + 24
            ("Units", Decimal(52)),  # 10K: 0.0004 + 0.0047 + 0.0001
            ("Units/Month", Decimal("0.06559406")),  # 1/Month
        ]
        # A newer run takes its place, an older one does not.
        export(container, raw("ea_amortized_cost_small.csv"), run="run-2", submitted="2023-10-02T08:00:00.0000000Z")
        await here.good("cloud/azure/cost/billing", export="cost", allow_shrink=True, **EXPORT)
        assert await charges(here, "COUNT(*), SUM(BilledCost)") == [(28, rounded(amortised, "Cost"))]
        columns = "CommitmentDiscountStatus, PricingCategory, COUNT(*)"
        assert await charges(here, columns, "WHERE CommitmentDiscountId IS NOT NULL GROUP BY 1, 2") == [
            ("Used", "Committed", 2)
        ]

    using(tmp_path, configs, work)


def test_the_newer_form_of_azure_and_a_currency(tmp_path: Path, azure: tuple[Path, ContainerClient]) -> None:
    usage = read("ea_usage_anonymous.csv")
    configs, container = azure

    async def work(here: Here) -> None:
        export(container, raw("ea_usage_anonymous.csv"))
        run = await here.run("cloud/azure/cost/billing", export="cost", currencies=["USD"], **EXPORT)
        assert "none of its 27 rows fits" in (run.error or {})["message"]
        passes(await here.good("cloud/azure/cost/billing", export="cost", currencies=["CAD"], **EXPORT), 27)
        await here.good("cloud/azure/cost/focus_convert", **SEPTEMBER)
        sums = await charges(here, "COUNT(*), BillingCurrency, SUM(BilledCost)", "GROUP BY 2")
        assert sums == [(27, "CAD", total(usage, "CostInBillingCurrency"))]

    using(tmp_path, configs, work)


def test_a_focus_export_in_parts(tmp_path: Path, azure: tuple[Path, ContainerClient]) -> None:
    """A run that lacks a part, or whose part is cut, changes nothing; nor does a signature that has expired."""
    configs, container = azure
    head, *lines = (FILES / "focus_1.0_sample_1000.csv").read_bytes().splitlines(keepends=True)
    lines = [line for line in lines if b'"Microsoft"' in line]
    parts = [gzip.compress(head + b"".join(lines[number::2])) for number in range(2)]
    rows = [row for row in read("focus_1.0_sample_1000.csv") if row["ProviderName"] == "Microsoft"]
    asked = {**PLACE, "path": "costs/focus/", "start_date": "2024-09-10", "end_date": "2024-09-10"}

    def deliver(run: str, *cut: int) -> list[str]:
        folder = f"costs/focus/20240901-20240930/{run}"
        names = [f"{folder}/part_{number}.csv.gz" for number in range(2)]
        blobs = [{"blobName": name, "byteCount": len(data)} for name, data in zip(names, parts, strict=True)]
        submitted = {"runId": run, "submittedTime": f"2024-10-01T08:00:00.{int(run)}000000Z"}
        for number, name in enumerate(names):
            container.upload_blob(name, parts[number][: -9 if number in cut else None])
        container.upload_blob(f"{folder}/manifest.json", json.dumps({"blobs": blobs, "runInfo": submitted}))
        return names

    async def work(here: Here) -> None:
        async def refused() -> str:
            run = await here.run("cloud/azure/cost/billing", **asked)
            assert await charges(here, "COUNT(*), SUM(BilledCost)") == [(51, total(rows, "BilledCost"))]
            return str((run.error or {})["message"])

        deliver("1")
        await here.good("azure/auth/validate", **{name: asked[name] for name in PLACE})
        results = await here.good("cloud/azure/cost/billing", **asked)
        assert results["extract_billing"]["deliveries"] == ["2024-09-01 1"]
        assert await charges(here, "SUM(EffectiveCost)") == [(total(rows, "EffectiveCost"),)]
        container.delete_blob(deliver("2")[1])
        assert "part_1.csv.gz does not exist (BlobNotFound): a part of this delivery is missing" in await refused()
        deliver("3", 0)
        assert f"{len(parts[0]) - 9:,} bytes arrived; {len(parts[0]):,} are listed" in await refused()
        expired = signature("exports", "rl", timedelta(minutes=-1))
        await here.good("azure/auth/setup", api_key=json.dumps({"sas_token": expired}))
        assert "Azure refuses the credential (AuthorizationFailure)" in await refused()

    using(tmp_path, configs, work, json.dumps({"sas_token": signature("exports", "rl")}))


def test_quantities_are_counted_in_the_unit_itself(tmp_path: Path, azure: tuple[Path, ContainerClient]) -> None:
    """Half a block of each unit of measure that Microsoft lists: finops-toolkit, issue 727."""
    configs, container = azure
    head, line = raw("ea_usage_anonymous.csv").decode("utf-8-sig").splitlines()[:2]
    one = dict(zip(head.split(","), next(csv.reader([line])), strict=True))
    units = read("pricing_units.csv")
    text = io.StringIO()
    writer = csv.DictWriter(text, one)
    writer.writeheader()
    writer.writerows({**one, "UnitOfMeasure": each["UnitOfMeasure"], "Quantity": "0.5"} for each in units)

    async def work(here: Here) -> None:
        export(container, text.getvalue().encode())
        await here.good("cloud/azure/cost/billing", export="cost", **EXPORT)
        found = await charges(here, "raw.PricingUnit, charge.ConsumedUnit, charge.ConsumedQuantity", OF_RAW)
        sizes = {unit: (name, counted / Decimal("0.5")) for unit, name, counted in found}
        expected = {each["UnitOfMeasure"]: each for each in units}
        assert sizes.keys() == expected.keys()
        assert {unit for unit, (_, size) in sizes.items() if size != int(expected[unit]["PricingBlockSize"])} == set()
        same = [unit for unit, (name, _) in sizes.items() if name == expected[unit]["DistinctUnits"]]
        assert {"1 Hour", "10K", "1M", "1 GB/Month", "100 Hours", "1/Day"} <= set(same)
        assert len(same) > 200

    using(tmp_path, configs, work)


def test_an_export_with_the_columns_of_1_2_preview(tmp_path: Path, azure: tuple[Path, ContainerClient]) -> None:
    """Every column of FOCUS keeps its value, and Azure's own ones are kept beside them."""
    configs, container = azure
    columns = (FILES / "azure_focus_1.2_preview_columns.txt").read_text().split()
    sample = [row for row in read("focus_1.0_sample_1000.csv") if row["ProviderName"] == "Microsoft"]
    own = {"x_SkuTerm": "36", "x_SkuDetails": '{"VCPUs":"2"}', "x_SkuIsCreditEligible": "true", "InvoiceId": "G1"}
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", restval="")
    writer.writeheader()
    writer.writerows({name: value.replace("NULL", "") for name, value in row.items()} | own for row in sample)
    asked = {"start_date": "2024-09-10", "end_date": "2024-09-10"}

    async def work(here: Here) -> None:
        export(container, text.getvalue().encode(), year=2024)
        await here.good("cloud/azure/cost/billing", **PLACE, **asked)
        sums = await charges(here, "SUM(BilledCost), SUM(EffectiveCost), SUM(ListCost), MIN(InvoiceId)")
        assert sums == [(*(total(sample, name) for name in ("BilledCost", "EffectiveCost", "ListCost")), "G1")]
        kept = "JSON_VALUE(x_SourceColumns, '$.x_SkuTerm'), JSON_VALUE(x_SourceColumns, '$.x_SkuDetails')"
        assert await charges(here, f"DISTINCT {kept}") == [("36", own["x_SkuDetails"])]

    using(tmp_path, configs, work)
