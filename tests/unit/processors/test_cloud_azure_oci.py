"""Azure and OCI: exports at their places to FOCUS charges, from the real sample files."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Coroutine, Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.bills import charges, raw, read, total
from tests.unit.processors.blob_server import BlobServer
from tests.unit.processors.installation import CONFIGS, Here, installed

AZURE_KEY = json.dumps({"account_key": "c2VjcmV0LW9mLXRoZS1vcmc="})
VECTORS = json.loads((Path(__file__).parents[1] / "adapters/oci_signatures.json").read_text())
OCI_KEY = json.dumps({name: VECTORS[name] for name in ("tenancy", "user", "fingerprint", "private_key")})
SEPTEMBER = {"start_date": "2023-09-20", "end_date": "2023-09-20"}
EXPORT = {"account": "acmebills", "container": "exports", "path": "costs/daily/", **SEPTEMBER}


def at(
    tmp_path: Path,
    name: str,
    answer: Callable[[Request], Response],
    key: str,
    work: Callable[[Here], Coroutine[Any, Any, None]],
) -> None:
    """Run with an installation for which the provider `name` is a server with `answer`."""

    async def main() -> None:
        server = HttpServer(answer)
        url = await server.start()
        configs = tmp_path / "configs"
        shutil.copytree(CONFIGS, configs)
        registry = configs / "system/providers.yml"
        line = f"    display_name: {name}\n"
        registry.write_text(registry.read_text().replace(line, f"{line}    api_base_url: {url}\n"))
        try:
            async with installed(tmp_path / "data", configs=configs) as here:
                await here.good(f"{name.lower()}/auth/setup", api_key=key)
                await work(here)
        finally:
            await server.stop()

    asyncio.run(main())


def export(blobs: BlobServer, data: bytes, run: str = "run-1", submitted: str = "2023-10-01T08:00:00.0000000Z") -> None:
    """Deliver a run of an export."""
    folder = f"costs/daily/20230901-20230930/{run}"
    blobs.blobs[f"{folder}/part_0_0001.csv"] = data
    blob = {"blobName": f"{folder}/part_0_0001.csv", "byteCount": len(data)}
    manifest = {"blobs": [blob], "runInfo": {"runId": run, "submittedTime": submitted}}
    blobs.blobs[f"{folder}/manifest.json"] = json.dumps(manifest).encode()


def passes(results: Mapping[str, Any], rows: int) -> None:
    """Check that the gate publishes all charges, of which only list and contracted costs are not known at all."""
    gate = results["validate_focus"]
    assert (gate["rows_processed"], gate["rows_written"], gate["focus"]["verdict"]) == (rows, rows, "warned")
    costs = {f"CAU-{name}-C-00{number}-M" for name in ("ContractedCost", "ListCost") for number in (3, 4)}
    assert set(gate["focus"]["waived"]) == costs


def rounded(rows: list[dict[str, str]], column: str) -> Decimal:
    """Return the sum of a column of which 18 digits behind the point are kept."""
    digits = Decimal(1).scaleb(-18)
    return sum((Decimal(row[column]).quantize(digits, ROUND_HALF_UP) for row in rows), Decimal(0))


def test_exports_of_actual_and_amortised_costs(tmp_path: Path) -> None:
    """They begin with a byte order mark, dates are 09/21/2023; the amortised one has up to 28 digits."""
    actual, amortised = read("ea_actual_cost_small.csv"), read("ea_amortized_cost_small.csv")
    blobs = BlobServer("exports", {})

    async def work(here: Here) -> None:
        export(blobs, raw("ea_actual_cost_small.csv"))
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
        # A newer run takes its place, an older one does not.
        export(blobs, raw("ea_amortized_cost_small.csv"), "run-2", "2023-10-02T08:00:00.0000000Z")
        await here.good("cloud/azure/cost/billing", export="cost", allow_shrink=True, **EXPORT)
        assert await charges(here, "COUNT(*), SUM(BilledCost)") == [(28, rounded(amortised, "Cost"))]
        columns = "CommitmentDiscountStatus, PricingCategory, COUNT(*)"
        assert await charges(here, columns, "WHERE CommitmentDiscountId IS NOT NULL GROUP BY 1, 2") == [
            ("Used", "Committed", 2)
        ]

    at(tmp_path, "Azure", blobs.answer, AZURE_KEY, work)


def test_the_newer_form_of_azure_and_a_currency(tmp_path: Path) -> None:
    usage = read("ea_usage_anonymous.csv")
    blobs = BlobServer("exports", {})

    async def work(here: Here) -> None:
        export(blobs, raw("ea_usage_anonymous.csv"))
        run = await here.run("cloud/azure/cost/billing", export="cost", currencies=["USD"], **EXPORT)
        assert "none of its 27 rows fits" in (run.error or {})["message"]
        passes(await here.good("cloud/azure/cost/billing", export="cost", currencies=["CAD"], **EXPORT), 27)
        await here.good("cloud/azure/cost/focus_convert", **SEPTEMBER)
        sums = await charges(here, "COUNT(*), BillingCurrency, SUM(BilledCost)", "GROUP BY 2")
        assert sums == [(27, "CAD", total(usage, "CostInBillingCurrency"))]

    at(tmp_path, "Azure", blobs.answer, AZURE_KEY, work)


def test_the_older_cost_reports_of_oci(tmp_path: Path) -> None:
    """506 lines in two files; costs like 6.266090E-12, times like 2023-11-13T10:00Z."""
    report = read("cost_report_legacy_masked.csv")
    head, *lines = raw("cost_report_legacy_masked.csv").splitlines(keepends=True)
    root = "/n/bling/b/ocid1.tenancy.oc1..t/o"
    files = {f"reports/cost-csv/{number}.csv": head + b"".join(lines[number::2]) for number in range(2)}

    def answer(request: Request) -> Response:
        if request.path == root:
            when = "2023-12-01T00:00:00.000000+00:00"
            objects = [{"name": name, "size": len(data), "timeModified": when} for name, data in files.items()]
            return Response(200, json.dumps({"objects": objects}).encode())
        return Response(200, files[request.path.removeprefix(f"{root}/")])

    async def work(here: Here) -> None:
        place = {"tenancy": "ocid1.tenancy.oc1..t", "region": "us-ashburn-1", "path": "reports/cost-csv/"}
        await here.good("oci/auth/validate", **place)
        days = {"start_date": "2023-11-13", "end_date": "2023-11-13"}
        passes(await here.good("cloud/oci/cost/billing", export="cost", **place, **days), 506)
        await here.good("cloud/oci/cost/focus_convert", **days)
        sums = await charges(here, "COUNT(*), SUM(BilledCost), COUNTIF(ListCost IS NOT NULL)")
        assert sums == [(506, rounded(report, "cost/myCost"), 0)]
        periods = await charges(here, "DISTINCT CAST(DATE(BillingPeriodStart) AS STRING), ServiceProviderName")
        assert periods == [("2023-11-01", "Oracle")]
        assert await charges(here, "COUNTIF(ServiceCategory = 'Databases') > 0") == [(True,)]

    at(tmp_path, "OCI", answer, OCI_KEY, work)
