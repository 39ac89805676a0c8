"""Files as teams have them validate as they stand, run embedded, and mean the same in the current form."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.config.catalog import Catalog
from convergence.config.dialects.current_form import current_text, migrated_text
from convergence.config.files.procedures import load_migrations
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.installation import CONFIGS, Here, days, installed

RUNNING = Path(__file__).parent / "running"
NAMES = Catalog(RUNNING).names()
DAY = date(2026, 11, 10)
ON_DAY = {"date": DAY.isoformat()}
INVOICES = [
    {"id": "a", "amount": 10.5, "customer": {"name": "Ann"}},
    {"id": "b", "amount": 0.1, "customer": {"name": "Ann"}},
    {"id": "c", "amount": 7, "customer": {"name": "Bob"}},
]
CUSTOMERS = [("Ann", Decimal("10.6")), ("Bob", Decimal(7))]


@pytest.fixture(autouse=True)
def only_noop_is_installed() -> None:
    """These files run: all processors are there."""


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product's folder with the teams' files in it."""
    root = shutil.copytree(CONFIGS, tmp_path_factory.mktemp("running") / "configs")
    return shutil.copytree(RUNNING, root, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def today(configs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder, each pipeline rewritten by `migrate-config`."""
    root = shutil.copytree(configs, tmp_path_factory.mktemp("today") / "configs")
    for name in NAMES:
        loaded = Catalog(root).get(name)
        file = root / loaded.file
        file.write_text(migrated_text(loaded, file.read_text()))
    return root


def test_the_whole_folder_is_valid(configs: Path, today: Path) -> None:
    for root in (configs, today):
        report = Catalog(root).validate()
        assert [str(problem) for problem in report.problems] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_explanation_and_the_rewritten_file_mean_the_same(configs: Path, today: Path, name: str) -> None:
    before, after = Catalog(configs).get(name), Catalog(today).get(name)
    assert after.pipeline == before.pipeline
    assert current_text(after) == current_text(before)


def answered(request: Request) -> Response:
    """Two pages of the day's invoices, or of buckets for those who have signed in."""
    asked = dict(request.query)
    if request.path.startswith("/storage/"):
        assert request.headers["authorization"].startswith("Bearer ")
        assert asked["project"]
        last = asked.get("pageToken") == "2"
        page = {"items": [{"name": "b" if last else "a"}], **({} if last else {"nextPageToken": "2"})}
        return Response(200, json.dumps(page).encode())
    assert asked["day"] == DAY.isoformat()
    found, following = (INVOICES[2:], None) if asked.get("after") == "2" else (INVOICES[:2], "2")
    return Response(200, json.dumps({"data": found, "next": following}).encode())


def in_both(configs: Path, today: Path, folder: Path, body: Callable[[Here, str], Awaitable[None]]) -> None:
    """Run the files as they stand, and as they were rewritten."""

    async def run(root: Path) -> None:
        server = HttpServer(answered)
        url = await server.start()
        try:
            async with installed(folder / root.parent.name, configs=root) as here:
                await body(here, url)
        finally:
            await server.stop()

    for root in (configs, today):
        asyncio.run(run(root))


async def customers(here: Here) -> list[tuple[Any, ...]]:
    sql = "SELECT customer_name, amount FROM saas_customers_daily ORDER BY customer_name"
    return [tuple(row.values()) for row in await here.rows(sql)]


def test_extractors_of_the_older_dialects_run(configs: Path, today: Path, tmp_path: Path) -> None:
    async def body(here: Here, url: str) -> None:
        results = await here.good("saas/invoices", base_url=url, **ON_DAY)  # by its alias
        assert results["check_invoices"]["checks_passed"] == 2
        assert await customers(here) == CUSTOMERS
        sql = "SELECT invoice_id, customer_name, loaded_for, org FROM saas_invoices_raw ORDER BY invoice_id LIMIT 1"
        assert [tuple(row.values()) for row in await here.rows(sql)] == [("a", "Ann", DAY, "acme")]
        await here.good("legacy/daily", base_url=url, **ON_DAY)
        (total,) = await here.rows("SELECT SUM(amount) AS amount, COUNT(*) AS n FROM legacy_invoices_raw")
        assert (total["amount"], total["n"]) == (Decimal("17.6"), 3)

    in_both(configs, today, tmp_path, body)


def test_records_land_raw_and_are_read_by_sql(configs: Path, today: Path, tmp_path: Path) -> None:
    async def body(here: Here, url: str) -> None:
        for _ in range(2):
            await here.good("saas/cost/landed", base_url=url, **ON_DAY)
        assert await customers(here) == CUSTOMERS

    in_both(configs, today, tmp_path, body)


def test_a_billing_pipeline_runs_with_its_procedure_and_its_migration(
    configs: Path, today: Path, tmp_path: Path
) -> None:
    async def body(here: Here, url: str) -> None:
        span = days(date(2026, 11, 9), DAY)
        for _ in range(2):  # the days are replaced
            results = await here.good("shop/billing", shop_key="k3y", **span)
            (answered,) = results["convert_costs"]["result"]
            assert (answered["rows_inserted"], Decimal(answered["total"])) == (2, 5)
        sql = "SELECT usage_date, service, cost, x_pipeline_id FROM cloud_shop_costs ORDER BY usage_date"
        assert [tuple(row.values()) for row in await here.rows(sql)] == [
            (day, "Storage", Decimal("2.5"), "acme-cloud-shop-billing") for day in (date(2026, 11, 9), DAY)
        ]
        assert await here.rows("SELECT COUNT(*) AS n FROM cloud_shop_billing_raw_daily") == [{"n": 2}]
        services = here.installation.services
        migrations = load_migrations(services.configs_dir)
        assert await services.warehouse.migrate(migrations, dataset="acme_dev") == ["001_names"]
        assert await here.rows("SELECT DISTINCT service, note FROM cloud_shop_costs") == [
            {"service": "Storage", "note": "migrated"}
        ]

    in_both(configs, today, tmp_path, body)


def test_conditions_switches_and_handlers_run(configs: Path, today: Path, tmp_path: Path) -> None:
    async def body(here: Here, url: str) -> None:
        for operation, done in (("bootstrap", "bootstrap_all"), ("refresh", "refresh_all")):
            results = await here.good("ops/conditions", operation=operation, **ON_DAY)
            assert {"bootstrap_all", "refresh_all"} & results.keys() == {done}
            assert {"tell_success", "tell_completion", "tell_always"} <= results.keys()
            assert not {"tell_failure", "never"} & results.keys()
        called = await here.good("ops/plain_call", **ON_DAY)
        assert called["call_costs"]["result"] == [{"text": "acme", "day": "2026-11-10", "last_day": "2026-11-30"}]

    in_both(configs, today, tmp_path, body)


def test_usage_and_cost_of_a_provider_by_an_older_name(configs: Path, today: Path, tmp_path: Path) -> None:
    async def body(here: Here, url: str) -> None:
        await here.set_up("openai")
        results = await here.good("llm/payg/tokens", api_base_url=here.url, **ON_DAY)
        assert results["extract_usage"]["rows_written"] > 0
        assert results["calculate_costs"]["tables"].keys() == {"openai_cost_daily"}

    in_both(configs, today, tmp_path, body)


def test_the_first_dialects_classes_and_tables(configs: Path, today: Path, tmp_path: Path) -> None:
    async def body(here: Here, url: str) -> None:
        await here.set_up("openai")
        results = await here.good("llm/usage/first", api_base_url=here.url, **ON_DAY)
        assert results["extract_usage"]["rows_written"] > 0
        assert results["calculate_costs"]["table"] == "openai_cost_daily"
        assert Decimal(results["calculate_costs"]["total_cost"]) > 0

    in_both(configs, today, tmp_path, body)


def test_a_list_of_a_google_api_lands_under_the_service_account(configs: Path, today: Path, tmp_path: Path) -> None:
    async def body(here: Here, url: str) -> None:
        await here.set_up("gcp")
        await here.good("gcp/usage/buckets", base_url=url, **ON_DAY)
        rows = await here.rows("SELECT JSON_VALUE(record, '$.name') AS name, record FROM google_buckets_raw ORDER BY 1")
        assert [(row["name"], row["record"]["source_api"]) for row in rows] == [("a", "storage"), ("b", "storage")]

    in_both(configs, today, tmp_path, body)


def test_what_runs_by_the_clock_and_what_stores_keys(configs: Path, today: Path, tmp_path: Path) -> None:
    async def body(here: Here, url: str) -> None:
        for name in ("timed/hourly", "timed/monthly", "timed/cron"):
            await here.good(name)
        results = await here.good("auth/keys", api_key="k3y-of-the-shop")
        assert "k3y-of-the-shop" not in repr(results)

    in_both(configs, today, tmp_path, body)
