"""Rows of Google Cloud's billing export, asked for by SQL over BigQuery's REST API.

Sources: billing export schema (docs.cloud.google.com, billing/docs/how-to/export-data-bigquery-tables), BigQuery REST
API v2, methods jobs.query and jobs.getQueryResults. Late rows and corrections keep arriving for days: run days again.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import quote

from pydantic import Field

from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.processors.gcp.access_token import access_token
from convergence.processors.paging import Call
from convergence.processors.rest import RestClient
from convergence.processors.settings import Settings

BASE_URL: Final = "https://bigquery.googleapis.com/bigquery/v2"
SCOPE: Final = "https://www.googleapis.com/auth/bigquery.readonly"
RENEW: Final = "Give the service account the roles BigQuery Job User and Data Viewer of the export, then replay."
WAIT_S: Final = 1.0
COLUMNS: Final = (
    *("usage_date", "billing_account_id", "project_id", "service", "sku_id", "sku", "unit", "currency"),
    *("quantity", "cost", "credits", "list_cost"),
)
_TABLE: Final = re.compile(
    r"[a-z][a-z0-9.:-]{4,60}\.[A-Za-z0-9_]{1,1024}\.gcp_billing_export(_resource)?_v1_[A-Z0-9_]+"
)
# Amounts are FLOAT in the export: each becomes a decimal before it is added up.
_SQL: Final = """
SELECT
  DATE(usage_start_time) AS usage_date, billing_account_id, project.id AS project_id, service.description AS service,
  sku.id AS sku_id, sku.description AS sku, usage.pricing_unit AS unit, currency,
  SUM(CAST(usage.amount_in_pricing_units AS BIGNUMERIC)) AS quantity,
  SUM(CAST(cost AS BIGNUMERIC)) AS cost,
  SUM(COALESCE((SELECT SUM(CAST(credit.amount AS BIGNUMERIC)) FROM UNNEST(credits) AS credit), 0)) AS credits,
  SUM(CAST(cost_at_list AS BIGNUMERIC)) AS list_cost
FROM `{table}`
WHERE DATE(usage_start_time) BETWEEN @start_date AND @end_date AND service.description IN UNNEST(@services)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
ORDER BY 1, 2, 3, 5, 7, 8
"""

Record = dict[str, Any]


class ExportSettings(Settings):
    """`billing_export_table`: `project.dataset.gcp_billing_export_v1_…`. `job_project` pays for the query."""

    billing_export_table: str
    job_project: str = ""
    services: tuple[str, ...] = ()
    api_base_url: str = BASE_URL
    page_rows: int = Field(default=10_000, ge=1, le=100_000)
    secret: str = "gcp"  # noqa: S105 - the name of a secret


async def connect(context: Context, wanted: ExportSettings) -> RestClient:
    """Return a client that carries a token of the run's service account."""
    token = await access_token(await context.secrets.open(wanted.secret), SCOPE, context, "BigQuery")
    headers = {"authorization": f"Bearer {token}"}
    return RestClient(context, wanted.api_base_url, headers=headers, service="BigQuery", renew=RENEW)


async def pages(
    client: RestClient, wanted: ExportSettings, services: Sequence[str], context: Context
) -> AsyncIterator[list[Record]]:
    """Yield rows of all days of the run, a page at a time.

    Raises `StepFailed` when the table's name is none, an answer has another shape, or pages end before the total.
    """
    table = wanted.billing_export_table
    if not _TABLE.fullmatch(table):
        raise StepFailed(f"config.billing_export_table: {table!r} is not project.dataset.gcp_billing_export_v1_ACCOUNT")
    path = f"/projects/{quote(wanted.job_project or table.split('.')[0], safe='')}/queries"
    named = [
        _parameter("start_date", "DATE", context.start_date.isoformat()),
        _parameter("end_date", "DATE", context.end_date.isoformat()),
        {
            "name": "services",
            "parameterType": {"type": "ARRAY", "arrayType": {"type": "STRING"}},
            "parameterValue": {"arrayValues": [{"value": name} for name in services]},
        },
    ]
    body = {
        "query": _SQL.format(table=table),
        "useLegacySql": False,
        "parameterMode": "NAMED",
        "queryParameters": named,
        "maxResults": wanted.page_rows,
        "timeoutMs": 30_000,
    }
    answer = (await client.ask(Call(path, method="POST", body=body))).data
    read, tokens = 0, set[str]()
    while True:
        answer = await _complete(client, path, answer, wanted, context)
        rows = [_record(row, answer) for row in answer.get("rows") or ()]
        read += len(rows)
        yield rows
        token = answer.get("pageToken")
        if not token:
            break
        if token in tokens:
            raise StepFailed("BigQuery repeats its pageToken: paging would never end")
        tokens.add(token)
        answer = await client.get(*_next(path, answer, wanted, token))
    if read != int(answer.get("totalRows") or 0):
        raise StepFailed(f"BigQuery says {answer.get('totalRows')} rows, but its pages hold {read}")


async def _complete(client: RestClient, path: str, answer: Any, wanted: ExportSettings, context: Context) -> Any:
    while not answer.get("jobComplete"):
        if "jobReference" not in answer:
            raise StepFailed("BigQuery answers without jobComplete and jobReference: check config.api_base_url")
        await context.sleep(WAIT_S)  # the step's own timeout ends it
        answer = await client.get(*_next(path, answer, wanted, ""))
    return answer


def _next(path: str, answer: Any, wanted: ExportSettings, token: str) -> tuple[str, list[tuple[str, str]]]:
    job = answer["jobReference"]
    params = [("location", str(job.get("location", ""))), ("maxResults", str(wanted.page_rows))]
    return f"{path}/{quote(job['jobId'], safe='')}", [*params, *([("pageToken", token)] if token else ())]


def _parameter(name: str, kind: str, value: str) -> dict[str, Any]:
    return {"name": name, "parameterType": {"type": kind}, "parameterValue": {"value": value}}


def _record(row: Any, answer: Any) -> Record:
    try:
        names = [field["name"] for field in answer["schema"]["fields"]]
        record: Record = dict(zip(names, (cell["v"] for cell in row["f"]), strict=True))
        record = {name: record[name] for name in COLUMNS}
        record["usage_date"] = date.fromisoformat(record["usage_date"])
        for name in ("quantity", "cost", "credits", "list_cost"):
            record[name] = None if record[name] is None else Decimal(record[name])
        if record["cost"] is None or not record["currency"]:
            raise ValueError("cost without amount or currency")
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise StepFailed(f"BigQuery: a row is not what the query asked for ({error!r})") from error
    return record
