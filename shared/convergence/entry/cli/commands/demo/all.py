"""`convergence demo --all`: every shipped pipeline that can run on this machine, on the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from convergence.config.files.providers import load_providers, provider_of
from convergence.domain.run import Run
from convergence.domain.times import following_month
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.engine.reconciliation import reconciliation
from convergence.engine.services import Services, dataset_of
from convergence.engine.views import runs as views
from convergence.entry.cli.commands.demo import main_job as demo
from convergence.entry.cli.commands.demo.order import Planned, ordered, planned
from convergence.entry.cli.follow import display, follow
from convergence.entry.cli.installation import Sandbox, Writer
from convergence.entry.cli.output import exact, seconds
from convergence.entry.cli.rows import Rows
from convergence.entry.cli.run_report import verdict
from convergence.entry.cli.sandbox import TRIGGER
from convergence.entry.cli.session import Session
from convergence.ports.warehouse import Parameter, Scope, Statement

PERIODS: Final = (
    *("month", "provider", "issuer", "account", "currency", "computed", "billed", "invoiced", "difference"),
    *("tolerance", "state"),
)
STEP: Final = ("step_id", "ps_type", "status", "rows_processed", "rows_written", "balance")
FOCUS, TRACKING = "cost_data_standard_1_3", "org_cost_tracking"
COST_SQL: Final = f"""
SELECT BillingCurrency AS currency, SUM(BilledCost) AS cost FROM {FOCUS} WHERE x_run_id = @run_id
GROUP BY BillingCurrency ORDER BY BillingCurrency
"""  # noqa: S608 - a constant of this file
BILL_SQL: Final = f"""
SELECT state, COUNT(*) AS count, SUM(computed_cost) AS computed, SUM(billed_cost) AS billed,
  SUM(difference) AS difference
FROM {TRACKING} WHERE x_run_id = @run_id GROUP BY state ORDER BY state
"""  # noqa: S608 - as above
TOTALS_SQL: Final = f"""
SELECT COALESCE(x_Provider, ProviderName) AS provider, BillingCurrency AS currency, COUNT(*) AS charges,
  SUM(BilledCost) AS cost
FROM {FOCUS} GROUP BY provider, currency ORDER BY provider, currency
"""  # noqa: S608 - as above
# Each provider's bill as it was read last, beside the charges made of it; seats have no bill.
CLOSED_SQL: Final = f"""
WITH lines AS (
  SELECT 'openai' AS provider, account_id, usage_date, currency, amount FROM openai_billing_daily_raw_current
  UNION ALL
  SELECT 'anthropic', account_id, usage_date, currency, amount FROM anthropic_billing_daily_raw_current
  UNION ALL
  SELECT provider, account_id, usage_date, currency, cost FROM genai_billing_daily_raw_current
),
bill AS (
  SELECT provider, account_id, usage_date, currency, SUM(amount) AS billed FROM lines
  GROUP BY provider, account_id, usage_date, currency
),
charges AS (
  SELECT x_Provider AS provider, BillingAccountId AS account_id, DATE(ChargePeriodStart) AS usage_date,
    BillingCurrency AS currency, SUM(BilledCost) AS cost
  FROM {FOCUS} WHERE x_UsageKind <> 'subscription'
  GROUP BY provider, account_id, usage_date, currency
)
SELECT provider, account_id AS account, usage_date AS day, currency, cost, billed,
  COALESCE(billed, 0) - COALESCE(cost, 0) AS difference
FROM charges FULL JOIN bill USING (provider, account_id, usage_date, currency)
ORDER BY provider, account, day, currency
"""  # noqa: S608 - as above
# What the gate said last of each source whose charges are in the table.
VERDICTS_SQL: Final = """
SELECT status, COUNT(*) AS sources, STRING_AGG(source, ', ' ORDER BY source) AS named
FROM (
  SELECT source, status FROM org_meta_focus_results WHERE rule_id = '*'
  QUALIFY ROW_NUMBER() OVER (PARTITION BY source ORDER BY checked_at DESC, x_run_id) = 1
)
GROUP BY status
"""
RESULTS: Final = "org_meta_focus_results"
WORST_FIRST: Final = ("stopped", "quarantined", "warned", "passed", "empty")  # verdicts of the gate
BILLS: Final = ("openai_billing_daily_raw", "anthropic_billing_daily_raw", "genai_billing_daily_raw")

QUERY: Final = f"SELECT * FROM {TRACKING}"  # noqa: S608 - as above


async def run_all(session: Session, start: str | None, end: str | None) -> int:
    """Run them and report rows, cost and reconciliation of each; 1 when one of them did not complete."""
    rows = Rows()
    with session.reading() as services:
        first, last = demo.dates(start, end, services.clock.now())
    sandbox, _ = session.installation.sandbox()
    async with session.writing("demo --all", rows) as writer:
        await sandbox.start()
        try:
            if not session.out.json:
                session.out.line(sandbox.describe() + "\n")
            await demo.ensure_org(writer)
            await writer.worker.start()
            reported = [
                await _one(session, writer, rows, each) for each in _plans(writer.services, sandbox, first, last)
            ]
            totals = await _ask(writer.services, FOCUS, TOTALS_SQL)
            verdicts = _worst_first(await _ask(writer.services, RESULTS, VERDICTS_SQL))
            dataset = dataset_of(writer.services, demo.ORG)
            for bill in BILLS:
                await writer.services.warehouse.ensure_table(dataset, writer.services.schemas.get(bill))
            closed = await _ask(writer.services, FOCUS, CLOSED_SQL)
            months = (first.replace(day=1), following_month(last) - timedelta(days=1))
            periods = [each.to_data() for each in await reconciliation(writer.services, demo.ORG, *months)]
        finally:
            await sandbox.stop()
    if session.out.json:
        session.out.data(
            {
                "org": demo.ORG,
                "start_date": first,
                "end_date": last,
                "pipelines": reported,
                "totals": totals,
                "verdict": verdicts[0]["status"] if verdicts else "empty",
                "verdicts": verdicts,
                "bills": closed,
                "periods": periods,
            }
        )
    else:
        _print(session, reported, closed)
        _print_table(session, totals, verdicts)
        session.out.line("\nCharges against bill and invoice, by provider, account and billing period")
        session.out.table(PERIODS, [[each[name] for name in PERIODS] for each in periods], right={5, 6, 7, 8, 9})
    return 0 if all(each["status"] in {"completed", "not run"} for each in reported) else 1


def _plans(services: Services, sandbox: Sandbox, first: date, last: date) -> list[Planned]:
    days = {"start_date": first.isoformat(), "end_date": last.isoformat()}
    found = []
    registry = load_providers(services.configs_dir)
    for name in services.catalog.names():
        loaded = services.catalog.get(name)
        provider = provider_of(registry, loaded.pipeline.provider)
        given = sandbox.parameters(provider.sandbox) if provider else {}
        found.append(planned(name, loaded, given, days))
    return ordered(found)


async def _one(session: Session, writer: Writer, rows: Rows, each: Planned) -> dict[str, Any]:
    if each.lacks:
        message = [f"the sandbox has no value for its parameter {name}" for name in each.lacks]
        return {"pipeline": each.name, "status": "not run", "warnings": message}
    request = RunRequest(org=demo.ORG, pipeline=each.name, parameters=each.parameters, trigger=TRIGGER)
    accepted = await dispatch(writer.services, request)
    ended = await follow(writer, [accepted], display(session.out, rows))
    return await _report(writer.services, ended[0])


async def _report(services: Services, run: Run) -> dict[str, Any]:
    view = await views.status(services, run.org, run.run_id)
    bill = await _ask(services, TRACKING, BILL_SQL, run)
    sums = {
        name: sum((row[name] or Decimal(0) for row in bill), Decimal(0))
        for name in ("computed", "billed", "difference")
    }
    return {
        "pipeline": view["pipeline"],
        "status": view["status"],
        "run_id": run.run_id,
        "rows_read": view["records_processed"],
        "rows_written": view["rows_written"],
        "cost": {row["currency"]: row["cost"] for row in await _ask(services, FOCUS, COST_SQL, run)},
        "reconciliation": {**sums, "states": {row["state"]: row["count"] for row in bill}} if bill else None,
        "focus": view["focus"],
        "steps": [{name: step[name] for name in STEP} for step in view["steps"]],
        "warnings": view["warnings"],
        "error": view["error_message"],
        "duration_ms": view["duration_ms"],
    }


async def _ask(services: Services, table: str, sql: str, run: Run | None = None) -> list[Mapping[str, Any]]:
    dataset = dataset_of(services, demo.ORG)
    await services.warehouse.ensure_table(dataset, services.schemas.get(table))
    parameters = {} if run is None else {"run_id": Parameter("STRING", run.run_id)}
    return list((await services.warehouse.query(Statement(sql, parameters, scope=Scope(dataset=dataset)))).rows)


def _worst_first(verdicts: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(verdicts, key=lambda each: WORST_FIRST.index(each["status"]))


def _print(session: Session, reported: list[dict[str, Any]], closed: list[Mapping[str, Any]]) -> None:
    out = session.out
    cells = [_cells(each) for each in reported]
    headers = ["pipeline", "status", "rows", "cost", "billed", "billed - computed", "days and models", "FOCUS", "time"]
    out.table(headers, cells, right={2, 3, 4, 5, 8})
    for each in reported:
        for message in [*each["warnings"], *([each["error"]] if each.get("error") else [])]:
            out.line(f"  {each['pipeline']}: {message}")
    out.line("\nCharges against the bill, per provider, account and day")
    headers = ["provider", "account", "day", "currency", "charges", "billed", "billed - charges"]
    out.table(headers, [list(row.values()) for row in closed], right={4, 5, 6})
    out.line(f"\nIs a number right?  {session.command('query', demo.ORG, QUERY)}")


def _print_table(session: Session, totals: list[Mapping[str, Any]], verdicts: list[Mapping[str, Any]]) -> None:
    out = session.out
    out.line(f"\nAll charges of the org in {FOCUS}, to the last digit, each day of a provider once")
    out.table(["provider", "currency", "charges", "cost"], [list(row.values()) for row in totals], right={2, 3})
    count = sum(row["charges"] for row in totals)
    parts = "; ".join(f"{row['status']}: {row['named']}" for row in verdicts)
    out.line(f"Verdict of the table: {verdicts[0]['status'] if verdicts else 'empty'}, {count} charges ({parts})")


def _cells(each: Mapping[str, Any]) -> list[Any]:
    rows, took = each.get("rows_written", ""), seconds(each.get("duration_ms"))
    focus = "; ".join(verdict(found) for found in each.get("focus", ()))
    return [each["pipeline"], each["status"], rows, _money(each.get("cost")), *_bill(each), focus, took]


def _money(cost: Mapping[str, Decimal] | None) -> str:
    return ", ".join(f"{exact(value)} {currency}" for currency, value in (cost or {}).items())


def _bill(each: Mapping[str, Any]) -> list[str]:
    bill = each.get("reconciliation")
    if bill is None:
        return ["", "", ""]
    states = ", ".join(f"{count} {state}" for state, count in bill["states"].items())
    return [exact(bill["billed"]), exact(bill["difference"]), states]
