"""What validation accepts runs: every file of `valid` in an embedded installation, as it stands and rewritten."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from aiosmtpd.smtp import SMTP, Envelope

from convergence.config.catalog import Catalog
from convergence.config.dialects.current_form import current_text, migrated_text
from convergence.sandbox import google
from convergence.sandbox.bigquery import BigQuery, Result
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.config.builders import VALID
from tests.unit.processors.installation import CONFIGS, ORG, Here, installed

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

NAMES = Catalog(VALID).names()
DAY: Final = "2026-11-10"
BILL = (
    "BilledCost,BillingCurrency,BillingPeriodStart,BillingPeriodEnd,ChargePeriodStart,ChargePeriodEnd,ChargeCategory\n"
    "1.25,USD,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,2026-11-10T00:00:00Z,2026-11-11T00:00:00Z,Usage\n"
)
# File → the names of the variables that lead it to servers of the test, by server.
LEADS: Mapping[str, Mapping[str, str]] = {
    "cloud/gcp/cost/export": {"bigquery_url": "bigquery"},
    "joined/fan_in": {"openai_url": "sandbox", "anthropic_url": "sandbox"},
    "llm/payg/tokens": {"api_base_url": "sandbox"},
    "named/spellings": {
        "bigquery_url": "bigquery",
        "openai_url": "sandbox",
        "anthropic_url": "sandbox",
        "api_url": "server",
    },
    "older/inside_config": {"storage_url": "server"},
    "older/mails": {"bigquery_url": "bigquery", "slack_url": "server"},
    "older/one_processor": {"api_base_url": "sandbox"},
    "older/step_words": {"bigquery_url": "bigquery"},
    "older/transformer": {"api_url": "server"},
    "written/short": {"api_url": "server"},
    "rest/buckets": {"api": "server"},
    "saas/seat_cost": {"api_base_url": "sandbox"},
}
KEYS: Mapping[str, tuple[str, ...]] = {
    "declared/everything": ("openai",),
    "older/inside_config": ("openai", "anthropic", "gcp"),
    "rest/buckets": ("gcp",),
    "named/spellings": ("openai", "anthropic", "gcp"),
    "joined/fan_in": ("openai", "anthropic"),
    "llm/payg/tokens": ("openai",),
    "older/one_processor": ("openai",),
    "saas/seat_cost": ("anthropic",),
    **dict.fromkeys(("cloud/gcp/cost/export", "older/mails", "older/step_words"), ("gcp",)),
}
PROFILE: Final = {
    "project_id": google.PROJECT,
    "billing_scope": "subscriptions/1",
    "aws_cur_bucket": "bills",
    "aws_cur_prefix": "cur",
}
VALIDATED = {"older/inside_config"}  # its first step wants a credential that was tried
EXPORT = {"billing_export_table": google.TABLE}
GIVEN: Mapping[str, Mapping[str, Any]] = {
    "declared/everything": {"rows": 7, "dry": True},
    "cloud/gcp/cost/export": EXPORT,
    "named/spellings": EXPORT,
    "older/mails": EXPORT,
    "older/step_words": EXPORT,
}
# Steps that a run of today leaves out: by their conditions, or because the run did not fail.
LEFT_OUT: Mapping[str, set[str]] = {
    "cloud/gcp/cost/export": {"notify_on_failure"},
    "cloud/accounts/scopes": {"load_rest"},
    "declared/everything": {"load_values"},
    "older/conditions": {"bootstrap_keys", "decrypt_key"},
    "older/inside_config": {"mail_failure"},
    "older/mails": {"mail_failure"},
}
# What the files are for: a query of the org's dataset, and its answer.
ROWS: Mapping[str, tuple[str, list[tuple[Any, ...]]]] = {
    "cloud/accounts/scopes": (
        "SELECT scope, folder, listed_on IS NOT NULL, first_month, whole_month FROM accounts_scopes_raw",
        [("subscriptions/1", "bills/cur", True, 1, True)],
    ),
    "cloud/gcp/cost/export": (
        "SELECT project_id, org, team, source_api, x_org, CAST(loaded_for AS STRING) FROM gcp_export_raw_daily",
        [("p-1", "acme", "core", "billing", "acme", DAY)],
    ),
    "named/spellings": (
        "SELECT one, (SELECT SUM(BilledCost) = 1.25 FROM cost_data_standard_1_3) FROM named_15_raw",
        [(2, True)],
    ),
    "older/inside_config": (
        "SELECT JSON_VALUE(record, '$.name'), JSON_VALUE(record, '$.day') FROM buckets_raw ORDER BY 1",
        [("a", DAY), ("b", DAY)],
    ),
    "older/mails": ("SELECT org FROM mailed_orgs_raw", [("acme",)]),
    "older/step_words": (
        "SELECT one FROM prices_raw UNION ALL SELECT one FROM prices_copy_raw ORDER BY 1",
        [(1,), (2,)],
    ),
    "older/transformer": ("SELECT CAST(usage_date AS STRING), units FROM example_usage_final", [(DAY, 12)]),
    "procedures/day_log": (
        "SELECT l.status, l.rows_written, r.status AS checked, SPLIT(r.check_name, ' ')[OFFSET(0)],"
        " l.x_run_id = l.run_id"
        " FROM org_meta_step_logs_written AS l CROSS JOIN org_meta_dq_results AS r",
        [("completed", 0, "passed", "acme", True)],
    ),
    "rest/buckets": (
        "SELECT JSON_VALUE(record, '$.name'), JSON_VALUE(record, '$.source_api') FROM rest_buckets_raw ORDER BY 1",
        [("a", "storage"), ("b", "storage")],
    ),
    "saas/seat_cost": ("SELECT COUNT(*) > 0 FROM anthropic_cost_daily", [(True,)]),
    "llm/payg/tokens": ("SELECT COUNT(*) > 0 FROM openai_cost_daily", [(True,)]),
    "older/one_processor": ("SELECT COUNT(*) > 0 FROM openai_usage_daily_raw", [(True,)]),
    "joined/fan_in": (
        "SELECT (SELECT COUNT(*) FROM openai_usage_daily_raw) > 0,"
        " (SELECT COUNT(*) FROM anthropic_usage_daily_raw) > 0",
        [(True, True)],
    ),
}


@pytest.fixture(autouse=True)
def only_noop_is_installed() -> None:
    """These files run: all processors are there."""


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product's folder with the files in it."""
    root = shutil.copytree(CONFIGS, tmp_path_factory.mktemp("valid") / "configs")
    return shutil.copytree(VALID, root, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def today(configs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder, each file rewritten by `migrate-config`."""
    root = shutil.copytree(configs, tmp_path_factory.mktemp("today") / "configs")
    for name in NAMES:
        loaded = Catalog(root).get(name)
        file = root / loaded.file
        file.write_text(migrated_text(loaded, file.read_text()))
    return root


def test_every_file_validates(configs: Path, today: Path) -> None:
    for root in (configs, today):
        report = Catalog(root).validate()
        assert [str(problem) for problem in report.problems] == []
        assert set(NAMES) <= set(Catalog(root).names())


@pytest.mark.parametrize("name", NAMES)
def test_the_rewritten_file_means_the_same(configs: Path, today: Path, name: str) -> None:
    before, after = Catalog(configs).get(name), Catalog(today).get(name)
    assert after.pipeline == before.pipeline
    assert current_text(after) == current_text(before)


class Mails:
    """What a mail server was sent."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        head = (envelope.original_content or b"").decode()
        self.subjects += [line.removeprefix("Subject: ") for line in head.splitlines() if line.startswith("Subject: ")]
        return "250 OK"


def answered(request: Request) -> Response:
    """Usage of two customers, two pages of buckets, and a webhook."""
    if request.path == "/":
        return Response(200, b"ok")
    if request.path == "/v1/usage":
        asked = dict(request.query)
        assert not asked or (asked["since"], asked["until"][:10]) == (f"{DAY}T00:00:00Z", DAY)
        return Response(200, json.dumps([{"usage_date": DAY, "units": units} for units in (5, 7)]).encode())
    asked = dict(request.query)
    last = asked.get("pageToken") == "2"
    page = {"items": [{"name": "b" if last else "a"}], **({} if last else {"nextPageToken": "2"})}
    return Response(200, json.dumps(page).encode())


def queried(body: Mapping[str, Any]) -> Result:
    """Answer what the files ask BigQuery for."""
    sql = body["query"]
    if "AS one" in sql:
        return [{"name": "one", "type": "INTEGER"}], [{"one": "2" if "SELECT 2" in sql else "1"}]
    if "AS braces" not in sql:
        return [{"name": "org", "type": "STRING"}], [{"org": "acme"}]
    row = {"id": "p-1", "x_org_slug": "acme", "braces": '{"a": {}}', "org": "acme", "team": "core"}
    columns = [{"name": "export_time", "type": "TIMESTAMP"}, *({"name": name, "type": "STRING"} for name in row)]
    return columns, [{"export_time": datetime(2026, 11, 10, 5, tzinfo=UTC), **row}]


async def run(name: str, root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mails, server = Mails(), HttpServer(answered)
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(lambda: SMTP(mails, loop=loop), "127.0.0.1", 0)
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(smtp.sockets[0].getsockname()[1]),
        "SECURITY": "none",
        "FROM": "a@b.de",
    }
    for key, value in settings.items():
        monkeypatch.setenv(f"SMTP_{key}", value)
    upload = folder / "files/acme/bills/2026-11/bill.csv"
    upload.parent.mkdir(parents=True)
    upload.write_text(BILL)
    try:
        async with installed(folder, configs=root) as here:
            here.sandbox.bigquery = BigQuery(queried)
            servers = {"sandbox": here.url, "bigquery": f"{here.url}/bigquery/v2", "server": await server.start()}
            await here.set_up(*KEYS.get(name, ()))
            await here.installation.services.orgs.change(ORG, lambda org: replace(org, profile=PROFILE), token="t")
            if name in VALIDATED:
                await here.good("gcp/auth/validate", bigquery_url=servers["bigquery"])
            leads = {variable: servers[to] for variable, to in LEADS.get(name, {}).items()}
            results = await here.good(name, **{"date": DAY, **leads, **GIVEN.get(name, {})})
            steps = {step.step_id for step in Catalog(root).get(name).pipeline.steps}
            done = {step for step, result in results.items() if result["status"] in {"SUCCESS", "COMPLETED"}}
            assert done == steps - LEFT_OUT.get(name, set()), results
            sql, rows = ROWS.get(name, ("SELECT 1", [(1,)]))
            assert await asked(here, sql) == rows
    finally:
        smtp.close()
        await smtp.wait_closed()
        await server.stop()
    subjects = ["always: acme-older-mails", "ended: acme-older-mails"]
    assert sorted(mails.subjects) == (subjects if name == "older/mails" else [])


async def asked(here: Here, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in await here.rows(sql)]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name: str, configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(run(name, configs, tmp_path, monkeypatch))
