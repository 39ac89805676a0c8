"""Cost Management's query API of Azure: the sandbox through the real engine, and answers that go wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from convergence.adapters.http.transport import CheckedTransport
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.errors import ConvergenceError, CredentialRejected, Transient
from convergence.ports.http.waits import retry_after_s
from convergence.processors.cloud.azure.cost_query import AzureCostQuery, CostQuerySettings
from convergence.processors.cloud.azure.query.scope import is_scope
from convergence.sandbox import azure, azure_bill
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.azure_query import APP, KEY, OCTOBER, PIPELINE, asks
from tests.unit.processors.bills import charges
from tests.unit.processors.installation import Here, installed
from tests.unit.processors.step_world import ManualClock, Vault, WorldContext

DAYS = [date(2026, 10, 1) + timedelta(days=number) for number in range(31)]


def running(folder: Path, key: str, work: Callable[[Here], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with installed(folder) as here:
            await here.good("azure/auth/setup", api_key=key)
            await work(here)

    asyncio.run(main())


def billed(cost_type: str = "ActualCost", kinds: tuple[str, ...] = ()) -> Decimal:
    """What the sandbox charges in October, summed up line by line."""
    lines = [line for line in azure_bill.LINES if not kinds or line.kind in kinds]
    return sum((azure_bill.cost(line, day, cost_type) for day in DAYS for line in lines), Decimal(0))


def test_a_month_adds_up_and_is_replaced(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        for detail in ("region", "resource_group", "meter"):
            results = await here.good(PIPELINE, **asks(here.url, detail=detail))
            assert Decimal(results["extract_billing"]["billed"]["2026-10"]["EUR"]) == billed()
            assert await charges(here, "ChargeCategory, SUM(BilledCost)", "GROUP BY 1 ORDER BY 1") == [
                ("Credit", billed(kinds=("Refund",))),
                ("Purchase", billed(kinds=("Purchase",))),
                ("Usage", billed(kinds=("Usage",))),
            ]
        columns = (
            "DISTINCT BillingAccountId, SubAccountId, ServiceCategory, PricingCategory, ListCost, x_DatasetChanges"
        )
        unknown = "; ".join(
            ("ListCost: the source does not say it", "ContractedCost: the source does not say it",
             "EffectiveCost: BilledCost, the source does not say it")
        )  # fmt: skip
        subscription = azure_bill.SUBSCRIPTION.rpartition("/")[2]
        assert await charges(here, columns, "WHERE JSON_VALUE(x_SourceColumns, '$.x_Meter') = 'D2s v3'") == [
            (azure_bill.ACCOUNT, subscription, "Compute", None, None, unknown)
        ]
        await here.good(PIPELINE, **asks(here.url, cost_type="AmortizedCost", allow_shrink=True))
        assert await charges(here, "SUM(BilledCost)") == [(billed("AmortizedCost"),)]

    running(tmp_path, KEY, work)


def test_an_app_may_prove_itself_by_an_assertion(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        await here.good(PIPELINE, **asks(here.url))
        assert await charges(here, "SUM(BilledCost)") == [(billed(),)]

    running(tmp_path, json.dumps({**APP, "client_assertion": azure.ASSERTION}), work)


def test_a_month_counts_from_an_export_or_from_the_query(tmp_path: Path) -> None:
    """An export names the account by the end of its path."""
    period = "2026-10-01T00:00:00Z,2026-11-01T00:00:00Z,2026-10-03T00:00:00Z,2026-10-04T00:00:00Z"
    text = (
        "BilledCost,EffectiveCost,ListCost,ContractedCost,BillingAccountId,BillingCurrency,BillingPeriodStart,"
        "BillingPeriodEnd,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,ProviderName,ServiceName,ServiceCategory\n"
        f"1,1,1,1,B111-sandbox,EUR,{period},Usage,Microsoft,Storage,Storage\n"
    )
    written = {"last-modified": "Sat, 21 Nov 2026 09:00:00 GMT"}

    async def work(here: Here) -> None:
        await here.good(PIPELINE, **asks(here.url))
        before = await charges(here, "COUNT(*), SUM(BilledCost)")

        def export(request: Request) -> Response:
            return Response(200, text.encode(), written, "text/csv")

        here.sandbox.answer = export  # type: ignore[method-assign]  # of this one sandbox
        place = {"account": "acme", "container": "bills", "path": "p/", "files_url": f"{here.url}/mine/%Y-%m.csv"}
        run = await here.run("cloud/azure/cost/billing", place="https", **place, **OCTOBER)
        assert "two exports of one account would count twice" in (run.error or {})["message"]
        assert await charges(here, "COUNT(*), SUM(BilledCost)") == before

    running(tmp_path, KEY, work)


def asked(handler: Callable[[Request], Response], key: str = KEY, **config: Any) -> ConvergenceError:
    """Return the error of the step when `handler` answers in the place of Azure; nothing is loaded."""

    async def main() -> ConvergenceError:
        server, clock = HttpServer(handler), ManualClock()
        url = f"{await server.start()}/v1"
        warehouse = DuckDbWarehouse(None, clock=clock)
        days = {"start_date": date(2026, 10, 20), "end_date": date(2026, 10, 20)}
        options = {**asks(url), "scopes": [azure_bill.SUBSCRIPTION], "currencies": ["EUR"], **config}
        options = {name: value for name, value in options.items() if name not in OCTOBER}
        try:
            async with httpx.AsyncClient(transport=CheckedTransport()) as client:
                secrets = Vault({"azure": key})
                context = WorldContext(client, warehouse, clock, provider="azure", secrets=secrets, **days)
                with pytest.raises(ConvergenceError) as caught:
                    await AzureCostQuery().execute({"config": options}, context)
            assert await warehouse.columns("acme_test", "cloud_azure_billing_raw_daily") == ()
            return caught.value
        finally:
            warehouse.close()
            await server.stop()

    return asyncio.run(main())


def sandbox(request: Request) -> Response:
    return (azure_bill if azure_bill.is_ours(request.path) else azure).answer(request)


def changed(change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> Callable[[Request], Response]:
    """Return a handler that changes the properties of costs, given the question."""

    def handle(request: Request) -> Response:
        found = sandbox(request)
        if not request.path.endswith("/query"):
            return found
        body = json.loads(found.body)
        change(json.loads(request.body), body["properties"])
        return Response(200, json.dumps(body).encode())

    return handle


def _first(value: Any, at: int) -> Callable[..., None]:
    def change(_: Any, page: dict[str, Any]) -> None:
        page["rows"][0][at] = value

    return change


def _lost(question: dict[str, Any], page: dict[str, Any]) -> None:
    if "filter" in question["dataset"]:
        page["nextLink"] = None


def _no_column(_: Any, page: dict[str, Any]) -> None:
    page["columns"][0]["name"] = "PreTaxCost"


def _elsewhere(_: Any, page: dict[str, Any]) -> None:
    page["nextLink"] = "https://evil.example.org/next"


def _other_currency(question: dict[str, Any], page: dict[str, Any]) -> None:
    if "filter" in question["dataset"]:
        page["rows"][0][-1] = "USD"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_first("NaN", 0), "is not a number"),
        (_first(None, 0), "is not a number"),
        (_first(20260930, 1), "2026-09-30 was not requested"),
        (_first("soon", 1), "has an unexpected shape"),
        (_other_currency, "is billed in USD (currencies: EUR)"),
        (_lost, "the figures changed while they were read"),
        (_no_column, "has no column 'Cost'"),
        (_elsewhere, "leads to another host, 'evil.example.org'"),
    ],
)
def test_wrong_answers_load_nothing(change: Any, said: str) -> None:
    error = asked(changed(change))
    assert said in str(error)
    assert isinstance(error, Transient) == (change is _lost)


def test_credentials_that_are_refused_or_of_another_form() -> None:
    assert isinstance(asked(sandbox, json.dumps({**APP, "client_secret": "expired"})), CredentialRejected)
    assert "costs need an app; storage keys" in str(asked(sandbox, '{"account_key": "c2Vj"}'))
    forbidden = Response(403, b'{"error": {"code": "RBACAccessDenied", "message": "no"}}')
    error = asked(lambda request: forbidden if request.path.endswith("/query") else sandbox(request))
    assert isinstance(error, CredentialRejected)
    assert "Cost Management Reader" in str(error)


def test_scopes_are_paths_of_azure() -> None:
    account = "/providers/Microsoft.Billing/billingAccounts/abc:def_2019-05-31"
    good = [
        azure_bill.SUBSCRIPTION,
        f"{azure_bill.SUBSCRIPTION}/resourceGroups/a.b",
        account,
        f"{account}/billingProfiles/P1/invoiceSections/S1",
        "/providers/Microsoft.Management/managementGroups/g",
    ]
    assert all(map(is_scope, good))
    bad = ["", "/", "subscriptions/x", f"{azure_bill.SUBSCRIPTION}/../x", "https://evil.example.org/", f"{account}?x=1"]
    assert not any(map(is_scope, bad))


def test_the_longest_wait_that_cost_management_names_counts() -> None:
    """Learn, Cost Management automation: 429 with a header for each of its limits."""
    name = "x-ms-ratelimit-microsoft.costmanagement-{}-retry-after"
    headers = {name.format("qpu"): "37", name.format("entity"): "5", "retry-after": "10"}
    assert retry_after_s(headers, 0) == 37
    assert retry_after_s({**headers, "retry-after": "60"}, 0) == 60
    assert retry_after_s({name.format("clienttype"): "soon"}, 0) is None


def test_scopes_that_are_left_out_are_not_lost(tmp_path: Path) -> None:
    async def work(here: Here) -> None:
        await here.good(PIPELINE, **asks(here.url))
        before = await charges(here, "SUM(BilledCost)")
        scope = f"{azure_bill.SUBSCRIPTION}/resourceGroups/web"
        here.sandbox.answer = _only_web  # type: ignore[method-assign]
        run = await here.run(PIPELINE, **asks(here.url, scopes=scope, billing_account_id=azure_bill.ACCOUNT))
        assert (
            f"has rows of {azure_bill.SUBSCRIPTION}, which is not among config.scopes" in (run.error or {})["message"]
        )
        assert await charges(here, "SUM(BilledCost)") == before

    running(tmp_path, KEY, work)


def _only_web(request: Request) -> Response:
    return sandbox(request._replace(path=request.path.replace("/resourceGroups/web", "")))


ONE, TWO = (f"/subscriptions/11111111-1111-1111-1111-1111111111{end}" for end in ("1a", "1b"))


@pytest.mark.parametrize(
    "scopes",
    [[ONE, ONE.upper()], [ONE, TWO, f"{ONE}/resourceGroups/web"], [f"{ONE}/resourceGroups/web", ONE]],
)
def test_a_scope_inside_of_another_is_refused(scopes: list[str]) -> None:
    with pytest.raises(ValueError, match="its costs would count twice"):
        CostQuerySettings.model_validate({"scopes": scopes})


def test_scopes_beside_each_other_are_asked_in_one_run() -> None:
    beside = [ONE, f"{TWO}/resourceGroups/web", f"{TWO}/resourceGroups/web-2"]
    assert CostQuerySettings.model_validate({"scopes": beside}).scopes == beside


def test_an_app_without_a_secret_does_not_sign_in_as_the_installation() -> None:
    error = asked(lambda _: Response(500), json.dumps(APP))
    assert "tenant_id and client_id alone are not a credential: add client_secret or client_assertion" in str(error)
