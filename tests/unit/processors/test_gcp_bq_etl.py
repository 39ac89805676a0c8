"""`gcp.bq_etl` by itself: what it refuses, queries of one's own, slices, limits."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.config.processors import ps_types
from convergence.errors import StepFailed
from convergence.ports.warehouse import Parameter
from convergence.processors.gcp import bq_etl
from convergence.processors.gcp.bq_etl import Progress
from convergence.processors.gcp.bq_source import EtlSettings, Source, reading
from convergence.processors.generic.target import Target
from convergence.sandbox import Sandbox, billing_export, google
from convergence.sandbox.bigquery import BigQuery, Result
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.installation import CONFIGS, days, installed
from tests.unit.processors.step_world import FIRST, LAST, ManualClock, Vault, WorldContext

RAW = {"table": "gcp_billing_daily_raw"}
TABLE = {"table": billing_export.TABLE}


def step(
    changed: Any = None, checkpoint: Any = None, bigquery: BigQuery | None = None, **blocks: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Run the step once; `changed` may alter an answer of the sandbox before it goes out."""

    async def main() -> Mapping[str, Any]:
        clock, sandbox = ManualClock(), Sandbox(faults=False)
        sandbox.bigquery = bigquery or sandbox.bigquery
        warehouse = DuckDbWarehouse(None, clock=clock)
        server = HttpServer(lambda request: (changed or keep)(request, sandbox.answer(request)))
        url = await server.start() + "/v1"
        try:
            async with httpx.AsyncClient() as client:
                secrets = Vault({"gcp": google.service_account(url)})
                context = WorldContext(client, warehouse, clock, secrets=secrets, checkpoint=checkpoint)
                given = {"source": TABLE, "destination": RAW, **blocks}
                config = {"api_base_url": f"{url}/bigquery/v2", **given.pop("config", {})}
                return await ps_types.load("gcp.bq_etl").execute({**given, "config": config}, context)
        finally:
            await server.stop()
            warehouse.close()

    return asyncio.run(main())


def keep(request: Request, answer: Response) -> Response:
    return answer


@pytest.mark.parametrize("name", ["ExternalBqExtractor", "ExternalBQExtractor"])
def test_the_class_of_older_files_is_this_processor(name: str) -> None:
    assert ps_types.from_class(name, "src.core.processors.gcp.external_bq_extractor") == "gcp.bq_etl"
    assert ps_types.is_installed("gcp.bq_etl")


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"source": {**TABLE, "use_org_credentials": False}}, "use_org_credentials: the org's own service account"),
        ({"source": {"table": "p.d.users"}}, r"source\.table: 'p\.d\.users' is not project\.dataset\.table"),
        ({"source": {"table": "project-1.data.users"}}, "is not a billing export"),
        ({"source": {"table": "a-project.d.gcp_billing_export_v1_X` WHERE TRUE --"}}, "is not project.dataset.table"),
        ({"source": {"table": "gcp_billing_export_v1_X"}}, "give it in full, or with bq_project_id and dataset"),
        ({"destination": {**RAW, "write_mode": "append"}}, "rows of an export are restated"),
        ({"transform": {"flat": True}}, r"transform\.flat"),
        ({"transform": {"field_mapping": {"a": "no_such_column"}}}, "has no column 'no_such_column'"),
        ({"config": {"bytes_max": 1}}, "limit for bytes billed"),
        ({"config": {"overlap_days": 90}}, "overlap_days"),
        ({"source": {**TABLE, "tabel": "x"}}, "source.tabel"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_read(blocks: Mapping[str, Any], message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        step(**blocks)


def test_a_dry_run_says_how_many_bytes_and_reads_nothing() -> None:
    result = step(config={"dry_run": True})
    assert (result["dry_run"], result["bytes_processed"]) == (True, 10_485_760)
    assert "rows_written" not in result


def test_the_parts_of_a_name_may_stand_apart_and_the_project_pays() -> None:
    project, dataset, table = billing_export.TABLE.split(".")
    result = step(source={"bq_project_id": project, "dataset": dataset, "table": table})
    assert result["rows_written"] == step()["rows_written"] > 50


def test_a_query_of_ones_own_has_the_days_of_the_run_and_its_parameters() -> None:
    source = Source.model_validate(
        {"bq_project_id": "their-project", "query": "SELECT 1", "parameters": [{"name": "team", "value": "search"}]}
    )
    context = WorldContext(None, None, ManualClock(), warehouse=object())
    read = reading(source, EtlSettings(), Target(table="t", date_field="day"), context)
    assert (read.sql, read.job_project, read.grouped) == ("SELECT 1", "their-project", False)
    assert read.values["start_date"] == Parameter("DATE", FIRST)
    assert read.values["team"] == Parameter("STRING", "search")
    assert read.dates is not None
    assert (read.dates[0], read.dates[-1]) == (FIRST, LAST)


def test_rows_of_a_query_replace_the_days_of_the_run_in_any_table() -> None:
    asked: list[Mapping[str, Any]] = []

    def rows(body: Mapping[str, Any]) -> Result:
        asked.append(body)
        fields = [
            {"name": "listed_on", "type": "DATE"},
            {"name": "name", "type": "STRING"},
            {"name": "raw", "type": "JSON"},
        ]
        return fields, [{"listed_on": FIRST, "name": name, "raw": "{}"} for name in ("a", "b")]

    query = f"SELECT * FROM `{billing_export.TABLE}` WHERE day BETWEEN @start_date AND @end_date"
    destination = {"table": "gcp_billing_accounts_raw", "date_field": "listed_on"}
    source = {"query": query, "parameters": {"team": "search"}}
    result = step(bigquery=BigQuery(run=rows), source=source, destination=destination)
    assert (result["rows_processed"], result["rows_written"]) == (2, 2)
    assert asked[0]["query"] == query
    given = {one["name"]: one["parameterValue"]["value"] for one in asked[0]["queryParameters"]}
    assert given == {"start_date": FIRST.isoformat(), "end_date": LAST.isoformat(), "team": "search"}


def test_columns_are_renamed_and_added_and_lineage_must_be_the_runs(tmp_path: Path) -> None:
    """`transform` of the older files; a statement that says which org its rows are of."""

    def rows(org: str) -> BigQuery:
        names = ("id", "x_org_slug", "day")
        fields = [{"name": name, "type": "DATE" if name == "day" else "STRING"} for name in names]
        return BigQuery(run=lambda _: (fields, [{"id": "a", "x_org_slug": org, "day": FIRST}]))

    query = {"query": f"SELECT * FROM `{billing_export.TABLE}`"}
    destination = {"table": "gcp_billing_accounts_raw", "date_field": "listed_on"}
    transform = {"field_mapping": {"id": "name", "day": "listed_on"}, "add_fields": {"raw": "JSON '{}'"}}
    result = step(bigquery=rows("acme"), source=query, destination=destination, transform=transform)
    assert result["rows_written"] == 1
    with pytest.raises(StepFailed, match="gives x_org_slug 'globex'"):
        step(bigquery=rows("globex"), source=query, destination=destination, transform=transform)
    with pytest.raises(StepFailed, match="the query has no column 'identity'"):
        step(
            bigquery=rows("acme"),
            source=query,
            destination=destination,
            transform={**transform, "field_mapping": {"identity": "name", "day": "listed_on"}},
        )


def test_a_query_that_takes_long_is_come_back_to() -> None:
    begun: list[str] = []

    def running(request: Request, answer: Response) -> Response:
        begun.extend(["job"] * (request.method == "POST" and request.path.endswith("/jobs")))
        if "/queries/" not in request.path:
            return answer
        reference = orjson.loads(answer.body)["jobReference"]
        return Response(200, orjson.dumps({"jobComplete": False, "jobReference": reference}))

    waiting = step(running)
    assert (waiting["status"], waiting["checkpoint"]["rows"], begun) == ("CONTINUE", 0, ["job"])
    assert Progress.of(waiting["checkpoint"]).job.startswith("EU.read")


def test_a_row_that_is_not_what_was_asked_for_stops_the_step() -> None:
    def other(request: Request, answer: Response) -> Response:
        return (
            Response(200, answer.body.replace(b'"cost_type"', b'"cost_typo"'))
            if "/queries/" in request.path
            else answer
        )

    with pytest.raises(StepFailed, match="does not have the columns of the query"):
        step(other)


def test_slices_of_a_page_leave_the_rows_of_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bq_etl, "SLICE_S", 0.0)
    first = last = date(2026, 10, 31)

    async def main() -> None:
        async with installed(tmp_path, configs=_with_pages_of(5, tmp_path)) as here:
            await here.set_up("gcp")
            asks = {"resource_export_table": billing_export.TABLE, "bigquery_url": f"{here.url}/bigquery/v2"}
            result = await here.good("gcp/cost/billing", **asks, **days(first, last))
            rows = await here.rows("SELECT cost FROM gcp_billing_daily_raw")
            assert result["extract_billing"]["rows_written"] == len(rows) > 15
            lines = billing_export.of_day(first)
            whole = sum((Decimal(line["cost"]) for line in lines), Decimal(0))
            (stored,) = await here.rows(
                f"SELECT SUM(cost) AS c FROM gcp_billing_daily_raw WHERE usage_date = '{first}'"
            )
            assert stored["c"] == whole

    asyncio.run(main())


def _with_pages_of(rows: int, folder: Path) -> Path:
    """Return a copy of the shipped files whose extraction has small pages."""
    copy = folder / "configs"
    shutil.copytree(CONFIGS, copy)
    file = copy / "gcp/cost/billing.yml"
    text = file.read_text("utf-8")
    changed = text.replace('      overlap_days: "{', f'      page_rows: {rows}\n      overlap_days: "{{')
    assert changed != text
    file.write_text(changed, "utf-8")
    return copy
