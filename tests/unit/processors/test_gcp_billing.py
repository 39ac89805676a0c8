"""Google Cloud's billing export, end to end in the embedded mode; sums against the export's own rows."""

from __future__ import annotations

import asyncio
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Final

from convergence.sandbox import billing_export, google
from convergence.sandbox.bigquery import BigQuery
from tests.unit.processors.gcp_export import Export, sample
from tests.unit.processors.installation import CONFIGS, Here, days, installed

FIRST, LAST = date(2026, 10, 30), date(2026, 11, 2)  # over the edge of a month
RANGE = days(FIRST, LAST)
PLACES: Final = Decimal(1).scaleb(-18)  # that the embedded warehouse keeps (docs/googlesql.md)
GRANTS: Final = {"PROMOTION", "RESELLER_MARGIN"}


def in_installation(folder: Path, work: Any) -> Any:
    async def main() -> Any:
        async with installed(folder) as here:
            await here.set_up("gcp")
            return await work(here)

    return asyncio.run(main())


def asks(here: Here, **more: Any) -> dict[str, Any]:
    return {"resource_export_table": billing_export.TABLE, "bigquery_url": f"{here.url}/bigquery/v2", **more}


def exported(first: date, last: date, overlap: int = 3) -> list[billing_export.Line]:
    """The rows that a run of these days reads."""
    begin, end = first - timedelta(days=overlap), last + timedelta(days=1)
    return billing_export.rows(first, last, at(begin), at(end))


def at(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def net(line: Mapping[str, Any]) -> Decimal:
    return Decimal(line["cost"]) + sum((Decimal(each["amount"]) for each in line["credits"]), Decimal(0))


def by_month(lines: Sequence[Mapping[str, Any]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        sums[line["invoice_month"]] += net(line)
    return dict(sums)


BILLED = (
    "SELECT FORMAT_TIMESTAMP('%Y%m', BillingPeriodStart) AS month, SUM(BilledCost) AS cost"
    " FROM cost_data_standard_1_3 WHERE x_Provider = 'gcp' GROUP BY month"
)


async def billed(here: Here) -> dict[str, Decimal]:
    return {row["month"]: row["cost"] for row in await here.rows(BILLED)}


def test_charges_add_up_to_cost_and_credits_of_each_invoice_month(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        lines = exported(FIRST, LAST)
        for _ in range(2):
            results = await here.good("cloud/gcp/cost/billing", **asks(here), **RANGE)
            assert results["extract_billing"]["rows_written"] == len(lines)
            assert await billed(here) == by_month(lines)
        (stored,) = await here.rows("SELECT COUNT(*) AS n FROM cloud_gcp_billing_raw_daily")
        assert stored["n"] == len(lines)
        assert {line["invoice_month"] for line in lines if line["usage_date"] == date(2026, 10, 31)} == {
            "202610",
            "202611",
        }

    in_installation(tmp_path, work)


def test_discounts_reduce_their_charge_and_grants_are_credits(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        await here.good("cloud/gcp/cost/billing", **asks(here), **RANGE)
        lines = exported(FIRST, LAST)
        sums: dict[str, Decimal] = defaultdict(Decimal)
        kinds = {"regular": "Usage", "tax": "Tax", "adjustment": "Adjustment", "rounding_error": "Adjustment"}
        for line in lines:
            grants = [Decimal(each["amount"]) for each in line["credits"] if each["type"] in GRANTS]
            sums["Credit"] += sum(grants, Decimal(0))
            sums[kinds[line["cost_type"]]] += net(line) - sum(grants, Decimal(0))
        found = await here.rows(
            "SELECT ChargeCategory AS category, SUM(BilledCost) AS cost FROM cost_data_standard_1_3 GROUP BY 1"
        )
        assert {row["category"]: row["cost"] for row in found} == sums
        assert sums["Credit"] < 0 > sums["Adjustment"]
        (analysis,) = await here.rows(
            "SELECT * FROM cost_data_standard_1_3 WHERE ServiceName = 'BigQuery' AND ChargeCategory = 'Usage'"
            f" AND x_pipeline_run_date = DATE '{FIRST}'"
        )
        assert analysis["BilledCost"] == analysis["ContractedCost"] == analysis["ListUnitPrice"] * 10
        assert (analysis["ServiceCategory"], analysis["PricingUnit"]) == ("Analytics", "Hours")
        assert analysis["Tags"] == '{"spot":true,"team":"search"}'
        assert (analysis["SubAccountId"], analysis["RegionId"]) == (google.PROJECT, google.REGION)
        (tax,) = await here.rows("SELECT * FROM cost_data_standard_1_3 WHERE ChargeCategory = 'Tax'")
        assert (tax["SubAccountId"], tax["SkuId"], tax["ContractedCost"]) == (None, None, tax["BilledCost"])
        ids = await here.rows("SELECT COUNT(*) AS n, COUNT(DISTINCT x_ChargeId) AS ids FROM cost_data_standard_1_3")
        assert ids[0]["n"] == ids[0]["ids"]

    in_installation(tmp_path, work)


def test_rows_that_come_late_replace_their_days_and_these_days_are_converted_again(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        day = days(LAST, LAST)
        await here.good("cloud/gcp/cost/billing", **asks(here), **RANGE)
        before = await billed(here)
        # A day later: nothing of the earlier days is lost or doubled, whichever pipeline reads and converts.
        await here.good("gcp/cost/billing", **asks(here, overlap_days=1), **day)
        results = await here.good("cloud/gcp/cost/focus_convert", **day)
        lines = exported(LAST, LAST, overlap=1)
        assert results["convert_focus"]["result"][0]["days"] >= len({line["usage_date"] for line in lines}) > 1
        gate = results["validate_focus"]
        assert gate["rows_processed"] == gate["rows_written"] == results["convert_focus"]["result"][0]["charges"] > 0
        assert (gate["focus"]["failed"], gate["focus"]["waived"], gate["focus"]["verdict"]) == ([], [], "passed")
        assert await billed(here) == before
        (current,) = await here.rows("SELECT COUNT(*) AS n FROM gcp_billing_daily_raw_current")
        assert current["n"] == len(exported(FIRST, LAST))

    in_installation(tmp_path, work)


def test_a_copy_that_calls_the_procedure_of_an_earlier_release_still_runs(tmp_path: Path) -> None:
    configs = tmp_path / "configs"
    shutil.copytree(CONFIGS, configs)
    folder = configs / "cloud/gcp/cost"
    text = (folder / "focus_convert.yml").read_text().replace("gcp_focus_candidates_1_3", "gcp_convert_focus_1_3")
    text = text.replace('-focus-convert"', '-older"').replace(
        ", cost_data_standard_1_3]\n      parameters", "]\n      parameters"
    )
    steps, _, _ = text.replace("table: cost_data_candidate", "table: cost_data_standard").partition(
        "  - step_id: validate"
    )
    (folder / "older.yml").write_text(steps)

    async def main() -> None:
        async with installed(tmp_path / "data", configs=configs) as here:
            await here.set_up("gcp")
            await here.good("gcp/cost/billing", **asks(here), **RANGE)
            for _ in range(2):
                await here.good("cloud/gcp/cost/older", **RANGE)
                assert await billed(here) == by_month(exported(FIRST, LAST))

    asyncio.run(main())


def test_the_sample_export_adds_up_to_its_own_digits(tmp_path: Path) -> None:
    rows = sample()
    export = Export(rows)

    async def work(here: Here) -> None:
        here.sandbox.bigquery = BigQuery(run=export)
        first, last = days(date(2026, 8, 30), date(2026, 8, 31)), days(date(2026, 9, 1), date(2026, 9, 4))
        await here.good("cloud/gcp/cost/billing", **asks(here, overlap_days=0), **first)
        await here.good("cloud/gcp/cost/billing", **asks(here), **last)
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for row in rows:
            sums[row["invoice"]["month"]] += Decimal(str(row["cost"])).quantize(PLACES, ROUND_HALF_UP)
        assert await billed(here) == sums
        (stored,) = await here.rows("SELECT COUNT(*) AS n, SUM(cost) AS cost FROM gcp_billing_daily_raw")
        assert (stored["n"], stored["cost"]) == (1728, sum(sums.values()))

    in_installation(tmp_path, work)


def test_a_restated_day_is_what_the_export_says_today(tmp_path: Path) -> None:
    """Late rows, a negative one, another invoice month for the same day, a row with no invoice month at all."""
    early = [a_row(cost="1.1"), a_row(day="2026-10-02", cost="7")]
    late = [
        a_row(cost="-0.30", cost_type="adjustment", exported="2026-10-03"),
        a_row(cost="5.28E-4", exported="2026-10-03", month="202611"),
        a_row(cost="2", exported="2026-10-03", month=None, credits=[{"type": "DISCOUNT", "amount": -0.5}]),
    ]
    export = Export(early)

    async def work(here: Here) -> None:
        here.sandbox.bigquery = BigQuery(run=export)
        day = days(date(2026, 10, 1), date(2026, 10, 1))
        await here.good("cloud/gcp/cost/billing", **asks(here), **day)
        assert await billed(here) == {"202610": Decimal("1.1")}
        export.rows = [*early, *late]
        results = await here.good("cloud/gcp/cost/billing", **asks(here), **days(date(2026, 10, 3), date(2026, 10, 3)))
        assert results["extract_billing"]["first_day"] == "2026-10-01"
        found = await billed(here)
        october = Decimal("1.1") - Decimal("0.30") + Decimal("1.5") + 7
        assert found == {"202610": october, "202611": Decimal("0.000528")}

    in_installation(tmp_path, work)


def test_services_that_an_llm_pipeline_charges_are_not_charged_twice(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        await here.set_up("gemini")
        first, last = date(2026, 11, 10), date(2026, 11, 13)
        gemini = [a_row(day=f"{day}", exported="2026-11-14", service="Gemini API", month="202611", cost="3")
                  for day in ("2026-11-10", "2026-11-11", "2026-11-12")]  # fmt: skip
        rest = [a_row(day="2026-11-11", exported="2026-11-14", month="202611", cost="11")]
        whole, export = BigQuery(), Export([*gemini, *rest])
        for order in (("gemini", "gcp"), ("gcp", "gemini", "gemini")):
            for provider in order:
                here.sandbox.bigquery = whole if provider == "gemini" else BigQuery(run=export)
                if provider == "gemini":
                    await here.good("genai/payg/gemini", **here.asks("gemini"), **days(first, last))
                else:
                    await here.good("cloud/gcp/cost/billing", **asks(here), **days(first, last))
        found = await here.rows(
            "SELECT DISTINCT x_Provider AS provider, DATE(ChargePeriodStart) AS day FROM cost_data_standard_1_3"
            " WHERE ServiceName = 'Gemini API'"
        )
        by_day: dict[date, set[str]] = defaultdict(set)
        for row in found:
            by_day[row["day"]].add(row["provider"])
        assert {len(providers) for providers in by_day.values()} == {1}
        assert set().union(*by_day.values()) == {"gcp"}, "the bill has all of these days, and comes first"
        assert (await billed(here))["202611"] >= 11

    in_installation(tmp_path, work)


def test_the_bill_counts_whichever_llm_pipeline_ran_before_or_after_it(tmp_path: Path) -> None:
    """The bill has 17 for machines and 6 for Gemini: 23, whichever pipeline ran, and in whichever order."""
    day = days(date(2026, 10, 1), date(2026, 10, 1))
    project = {"project": {"id": "p", "name": "P"}}
    machines, gemini = a_row(cost="17"), {**a_row(cost="6", service="Gemini API"), **project}
    late = {**a_row(cost="2", service="Gemini API", exported="2026-10-04"), **project}

    async def work(here: Here) -> None:
        await here.set_up("gemini")
        export = Export([gemini])
        here.sandbox.bigquery = BigQuery(run=export)

        async def llm() -> None:
            more = {"billing_export_table": billing_export.TABLE}
            await here.good("genai/payg/gemini", **{**here.asks("gemini"), **more}, **day)

        async def cloud() -> None:
            export.rows = [machines, gemini]
            results = await here.good("cloud/gcp/cost/billing", **asks(here), **day)
            assert Decimal(results["convert_focus"]["result"][0]["billed_cost"]) == 23

        async def counting() -> dict[str, Decimal]:
            found = await here.rows(
                "SELECT CONCAT(x_Provider, ': ', ServiceName) AS name, SUM(BilledCost) AS cost"
                " FROM cost_data_standard_1_3 GROUP BY name"
            )
            return {row["name"]: row["cost"] for row in found}

        await llm()
        assert await counting() == {"gemini: Gemini API": 6}
        await cloud()
        whole = {"gcp: Compute Engine": 17, "gcp: Gemini API": 6}
        assert await counting() == whole
        export.rows = []  # as after a change of the export's table or of the rights to it
        await llm()
        assert await counting() == whole
        export.rows = [machines, gemini]
        await llm()
        assert await counting() == whole
        # A day that the bill restates, and that no run of the LLM pipeline reads again.
        export.rows = [machines, gemini, late]
        await here.good("cloud/gcp/cost/billing", **asks(here), **days(date(2026, 10, 4), date(2026, 10, 4)))
        assert await counting() == {"gcp: Compute Engine": 17, "gcp: Gemini API": 8}
        assert await here.rows("SELECT SUM(BilledCost) AS cost FROM cost_data_superseded") == [{"cost": 6}]
        # The table of LLM providers keeps the pipeline's own figures, which are still compared with its charges.
        await here.good("genai/unified/consolidate", **day)
        assert await here.rows("SELECT SUM(cost) AS cost FROM genai_usage_cost_daily_unified") == [{"cost": 6}]

    in_installation(tmp_path, work)


def a_row(
    *, day: str = "2026-10-01", cost: str, month: str | None = "202610", exported: str = "2026-10-02",
    cost_type: str = "regular", service: str = "Compute Engine", credits: Sequence[Any] = (),  # noqa: A002 - the export's
) -> dict[str, Any]:  # fmt: skip
    return {
        "billing_account_id": google.ACCOUNT,
        "service": {"id": "S", "description": service},
        "sku": {"id": "K", "description": "Core"},
        "usage_start_time": f"{day}T00:00:00Z",
        "usage_end_time": f"{day}T01:00:00Z",
        "export_time": f"{exported}T03:00:00Z",
        "cost": float(cost),
        "currency": "USD",
        "cost_type": cost_type,
        "invoice": {"month": month},
        "credits": list(credits),
    }
