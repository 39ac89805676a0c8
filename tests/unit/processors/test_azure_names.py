"""Azure's services and regions: each line of Microsoft's tables as a row of a cost export, converted to FOCUS."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from convergence.sandbox import azure_bill
from convergence.sandbox.http import Request, Response
from tests.unit.processors.azure_query import KEY, PIPELINE, asks
from tests.unit.processors.bills import charges, raw, read, running
from tests.unit.processors.installation import CONFIGS, Here

SEPTEMBER = {"start_date": "2023-09-20", "end_date": "2023-09-20"}
UNKNOWN = "ServiceCategory: the service is not listed"
SERVICES, REGIONS = read("azure_services.csv"), read("azure_regions.csv")
FOUND = "JSON_VALUE(x_SourceColumns, '$.x_CostCenter'), ServiceCategory, ServiceSubcategory"
ORDER = "ORDER BY CAST(JSON_VALUE(x_SourceColumns, '$.x_CostCenter') AS INT64)"
Row = Mapping[str, str]


def focus(service: Row) -> tuple[str, str]:
    """Category and subcategory of a line. Two subcategories are not in FOCUS 1.3."""
    others = {"Quantum": "Quantum Compute", "Data Transfer": "Other (Migration)"}
    return service["ServiceCategory"], others.get(service["ServiceSubcategory"], service["ServiceSubcategory"])


def type_of(service: Row) -> str:
    """The id of a resource of this type, in the spelling of an export."""
    namespace, *kinds = service["ResourceType"].split("/")
    names = "/".join(f"{kind.upper()}/One {number}" for number, kind in enumerate(kinds))
    return f"/subscriptions/1/resourceGroups/acme/providers/{namespace}/{names}"


async def exported(here: Here, rows: Iterable[Row]) -> None:
    """Load an export in which each of these rows differs from a real one, and is numbered in CostCenter."""
    head, line = raw("ea_usage_anonymous.csv").decode("utf-8-sig").splitlines()[:2]
    one = dict(zip(head.split(","), next(csv.reader([line])), strict=True))
    text = io.StringIO()
    writer = csv.DictWriter(text, one)
    writer.writeheader()
    writer.writerows({**one, **row, "CostCenter": str(number)} for number, row in enumerate(rows))

    def answer(_: Request) -> Response:
        return Response(200, text.getvalue().encode(), {"last-modified": "Sun, 01 Oct 2023 09:00:00 GMT"}, "text/csv")

    await here.good("azure/auth/setup", api_key=KEY)
    here.sandbox.answer = answer  # type: ignore[method-assign, assignment]  # of this one sandbox
    place = {"account": "acme", "container": "bills", "path": "p/", "files_url": f"{here.url}/mine/%Y-%m.csv"}
    await here.good("cloud/azure/cost/billing", place="https", export="cost", **place, **SEPTEMBER)


def test_each_resource_type_has_its_category(tmp_path: Path) -> None:
    """The meter category is unknown, so the type of the resource decides; FOCUS's gate accepts each pair."""

    async def work(here: Here) -> None:
        await exported(
            here,
            [
                {
                    "MeterCategory": "Wares",
                    "ResourceId": type_of(one),
                    "ConsumedService": one["ConsumedService"].title(),
                }
                for one in SERVICES
            ],
        )
        found = await charges(here, FOUND, ORDER)
        assert found == [(str(number), *focus(one)) for number, one in enumerate(SERVICES)]
        assert await charges(here, "DISTINCT ServiceName") == [("Wares",)]

    running(tmp_path, work)


def test_a_meter_category_is_the_service_itself(tmp_path: Path) -> None:
    """It goes before the type of the resource: one service has one category, as the bill names it."""
    named = [*SERVICES, *({**one, "ServiceName": one["ServiceName"].removeprefix("Azure ")} for one in SERVICES)]

    async def work(here: Here) -> None:
        unlike = {"ResourceId": "/providers/Microsoft.Batch/batchAccounts/one"}
        await exported(here, [{**unlike, "MeterCategory": one["ServiceName"]} for one in named])
        assert await charges(here, FOUND, ORDER) == [(str(number), *focus(one)) for number, one in enumerate(named)]

    running(tmp_path, work)


def test_a_service_that_is_not_listed(tmp_path: Path) -> None:
    rows = [
        {"MeterCategory": "Wares", "ResourceId": "", "ConsumedService": ""},
        {"MeterCategory": "", "ResourceId": "/providers/Acme.Wares/wares/one", "ConsumedService": "Acme.Wares"},
        {"MeterCategory": "Storage", "ResourceId": "", "ConsumedService": ""},
    ]

    async def work(here: Here) -> None:
        await exported(here, rows)
        found = await charges(here, f"{FOUND}, x_DatasetChanges", ORDER)
        assert [row[1:3] for row in found] == [
            ("Other", "Other (Other)"),
            ("Other", "Other (Other)"),
            ("Storage", "Storage Platforms"),
        ]
        assert [UNKNOWN in row[3] for row in found] == [True, True, False]

    running(tmp_path, work)


def test_each_spelling_of_a_region(tmp_path: Path) -> None:
    others = [("", None, None), ("Atlantis", "Atlantis", "Atlantis")]

    async def work(here: Here) -> None:
        spelt = [spelling for one in REGIONS for spelling in (one["OriginalValue"], f" {one['OriginalValue'].title()}")]
        await exported(here, [{"ResourceLocation": name} for name in (*spelt, *(name for name, *_ in others))])
        known = [(one["RegionId"], one["RegionName"]) for one in REGIONS for _ in range(2)]
        expected = [*known, *((identifier, name) for _, identifier, name in others)]
        assert await charges(here, "RegionId, RegionName", ORDER) == expected

    running(tmp_path, work)


def test_cost_management_by_type_of_resource(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        await here.good("azure/auth/setup", api_key=KEY)
        await here.good(PIPELINE, **asks(here.url, detail="resource_type"))
        columns = "DISTINCT ServiceName, ServiceCategory, ServiceSubcategory, ResourceType"
        assert await charges(here, columns, "ORDER BY 1") == [
            ("Nodes of a farm", "Compute", "Serverless Compute", None),
            ("Storage", "Storage", "Storage Platforms", None),
            ("Things", "Other", "Other (Other)", None),
            ("Virtual Machines", "Compute", "Virtual Machines", None),
        ]
        unlisted = await charges(here, "DISTINCT ServiceName", f"WHERE x_DatasetChanges LIKE '%{UNKNOWN}%'")
        assert unlisted == [("Things",)]
        await here.good(PIPELINE, **asks(here.url, detail="region"))
        assert ("westeurope", "West Europe") in await charges(here, "DISTINCT RegionId, RegionName")

    running(tmp_path, work)
    assert set(azure_bill.RESOURCE_TYPES) == {line.category for line in azure_bill.LINES}


def test_the_pairs_are_those_of_focus() -> None:
    rules = json.loads((CONFIGS / "system/focus/rules_1_3.json").read_text())["rules"]
    (pairs,) = (rule["check"][3] for rule in rules if rule["check"][:2] == ["pairs", "ServiceSubcategory"])
    assert {focus(one) for one in SERVICES} <= {(category, sub) for sub, category in pairs}
