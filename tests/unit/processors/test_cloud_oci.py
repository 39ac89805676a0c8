"""OCI: reports in Oracle's bucket to FOCUS charges, from the real sample file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.bills import charges, passes, raw, read, rounded, with_address
from tests.unit.processors.installation import Here, installed

VECTORS = json.loads((Path(__file__).parents[1] / "adapters/oci_signatures.json").read_text())
KEY = json.dumps({name: VECTORS[name] for name in ("tenancy", "user", "fingerprint", "private_key")})


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

    async def main() -> None:
        server = HttpServer(answer)
        configs = with_address(tmp_path, "OCI", await server.start())
        try:
            async with installed(tmp_path / "data", configs=configs) as here:
                await here.good("oci/auth/setup", api_key=KEY)
                await work(here)
        finally:
            await server.stop()

    asyncio.run(main())
