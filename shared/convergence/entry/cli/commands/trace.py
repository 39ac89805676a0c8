"""`convergence trace`: from one FOCUS charge to its raw rows and to the bill."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

import click

from convergence.domain.money import exact_text
from convergence.domain.wording import counted
from convergence.engine.services import Services, dataset_of
from convergence.entry.cli.options import Command
from convergence.entry.cli.output import Output
from convergence.entry.cli.server import not_there
from convergence.entry.cli.session import Session, known_org
from convergence.errors import ConfigErrors, NotFound
from convergence.ports.warehouse import LINEAGE_COLUMNS, Parameter, Scope, Statement

FOCUS, RESIDUALS, CONTRACTS = "cost_data_standard_1_3", "genai_residual_daily_reconciled", "subscriptions"
CHARGE_SQL: Final = f"SELECT * FROM {FOCUS} WHERE x_ChargeId = @charge"  # noqa: S608 - a constant of this file
# Contracts are the org's, whichever credential and day they were stored with. A bill is stored by its billing period.
RAW_SQL: Final = """
SELECT raw.*
FROM {table} AS raw
JOIN cost_data_standard_1_3 AS charge
  ON raw.x_pipeline_id = charge.x_SourcePipelineId
  AND raw.row_id IN UNNEST(SPLIT(charge.x_SourceRowId, ' '))
WHERE charge.x_ChargeId = @charge
  AND (charge.x_UsageKind = 'subscription' OR (
    raw.x_credential_id = charge.x_credential_id AND raw.x_pipeline_run_date IN (
      charge.x_pipeline_run_date, COALESCE(charge.x_CorrectedPeriodStart, DATE(charge.BillingPeriodStart))
    )
  ))
"""
COMPARED_SQL: Final = """
SELECT residual.*
FROM genai_residual_daily_reconciled AS residual
JOIN cost_data_standard_1_3 AS charge
  ON residual.x_pipeline_id = charge.x_pipeline_id
  AND residual.x_credential_id = charge.x_credential_id
  AND residual.x_pipeline_run_date = charge.x_pipeline_run_date
  AND residual.provider = charge.x_Provider
  AND residual.charge_kind = charge.x_ChargeKind
  AND COALESCE(residual.model, '') = COALESCE(charge.x_Model, '')
WHERE charge.x_ChargeId = @charge
"""
BILL_SQL: Final = """
SELECT bill.*
FROM {table} AS bill
WHERE bill.x_pipeline_id = @pipeline_id
  AND bill.x_credential_id = @credential_id
  AND bill.x_pipeline_run_date = @day
  AND bill.row_id IN UNNEST(SPLIT(@row_ids, ' '))
"""
SHOWN: Final = (
    *("x_ChargeId", "ChargePeriodStart", "ServiceProviderName", "ChargeDescription", "ChargeCategory", "BilledCost"),
    *("BillingCurrency", "x_CostOrigin", "x_DifferenceClass", "x_PriceId", "ListUnitPrice", "PricingQuantity"),
    *("PricingUnit", "BillingAccountId", "x_pipeline_id", "x_run_id"),
)

Row = Mapping[str, Any]


@click.command("trace", cls=Command)
@click.argument("org")
@click.argument("charge")
@click.pass_obj
def command(session: Session, org: str, charge: str) -> int:
    """Show a charge of ORG, the raw rows it was made from, and the lines of the bill. CHARGE is its x_ChargeId.

    \b
    Example:
      convergence trace acme 0f3c9a5e1b2d4c68
    """
    if session.server() is not None:
        not_there("trace a charge", "ask BigQuery as docs/data.md shows, or run this where the data directory is")
    chain = session.go(_trace(session, org, charge))
    if session.out.json:
        session.out.data(chain)
    else:
        _print(session.out, chain)
    return 0


async def _trace(session: Session, org: str, charge_id: str) -> dict[str, Any]:
    with session.reading() as services:
        await known_org(services, org)
    async with session.writing(f"trace {org}") as writer:
        await writer.write_log()
        ask = _Ask(writer.services, org)
        found = await ask.rows(FOCUS, CHARGE_SQL, charge=charge_id)
        if not found:
            listing = session.command("query", org, " ".join(("SELECT x_ChargeId, BilledCost FROM", FOCUS, "LIMIT 10")))
            raise NotFound(f"{org} has no charge {charge_id[:100]!r}; some ids of charges: {listing}")
        charge, *_ = found
        source = charge["x_SourceTable"]
        raw = await ask.rows(source, RAW_SQL.format(table=source), charge=charge_id) if source else []
        advice = _advice(session, writer.services, org, charge, raw)
        chain = {"charge": charge, "raw": {"table": source, "rows": raw}, "bill": None, "advice": advice}
        if charge["x_CostOrigin"] in {"billed", "residual"}:
            return chain  # made from the bill, or from usage that the bill does not have
        for compared in await ask.rows(RESIDUALS, COMPARED_SQL, charge=charge_id):
            chain["bill"] = await _bill(ask, charge, compared)
        return chain


def _advice(session: Session, services: Services, org: str, charge: Row, rows: Sequence[Row]) -> str | None:
    """Say which raw rows of the charge are missing, and how they come back; None when all are there."""
    named = set((charge["x_SourceRowId"] or "").split())
    gone = named - {row["row_id"] for row in rows}
    if named and not gone:
        return None
    lacking = f"{len(gone)} of the {counted(len(named), 'raw row')} that it names no longer exist."
    if not named:
        lacking = "It does not record which raw rows it was made from: an earlier release loaded or made it."
    commands = " ; ".join(_reloads(session, services, org, charge))
    if not commands:
        return f"{lacking} The pipeline {charge['x_pipeline_id']}, which made it, is not among the configs."
    return f"{lacking} Load its month again: {commands}"


def _reloads(session: Session, services: Services, org: str, charge: Row) -> Iterator[str]:
    """Yield the commands that load the charge's month again: that of its raw rows, then that of the charge."""
    paths = {}
    for name in services.catalog.names():
        try:
            paths[services.catalog.get(name).pipeline.pipeline_id.replace("{org_slug}", org)] = name
        except ConfigErrors:
            continue  # a broken file cannot be run
    first = date.fromisoformat(str(charge["x_CorrectedPeriodStart"] or charge["BillingPeriodStart"])[:10])
    first = first.replace(day=1)
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    days = ("--from", first.isoformat(), "--to", last.isoformat(), "--step", "month", "--mode", "all")
    for pipeline_id in dict.fromkeys((charge["x_SourcePipelineId"], charge["x_pipeline_id"])):
        if pipeline_id in paths:
            yield session.command("backfill", org, paths[pipeline_id], *days)


class _Ask:
    """Statements on one org's dataset."""

    def __init__(self, services: Services, org: str) -> None:
        self._services, self._dataset = services, dataset_of(services, org)

    async def rows(self, table: str, sql: str, **values: Any) -> list[dict[str, Any]]:
        """Return rows of `table`, which has a schema file and is made where it does not exist yet."""
        await self._services.warehouse.ensure_table(self._dataset, self._services.schemas.get(table))
        kinds = {"day": "DATE"}
        parameters = {name: Parameter(kinds.get(name, "STRING"), value) for name, value in values.items()}
        statement = Statement(sql, parameters, scope=Scope(dataset=self._dataset))
        return (await self._services.warehouse.query(statement)).rows


async def _bill(ask: _Ask, charge: Row, compared: Row) -> dict[str, Any]:
    table = compared["source_table"]
    rows = []
    if table != charge["x_SourceTable"]:  # otherwise nothing is billed, and it names the usage
        rows = await ask.rows(
            table,
            BILL_SQL.format(table=table),
            pipeline_id=compared["source_pipeline_id"],
            credential_id=compared["x_credential_id"],
            day=compared["x_pipeline_run_date"],
            row_ids=compared["source_row_id"],
        )
    return {"table": table, "class": compared["class"], "difference": compared["difference"], "rows": rows}


def _print(out: Output, chain: Mapping[str, Any]) -> None:
    charge = chain["charge"]
    out.table(["charge", ""], [[name, charge[name]] for name in SHOWN if charge[name] is not None])
    if chain["raw"]["table"] is not None:
        _print_rows(out, "Made from", chain["raw"])
    if chain["advice"] is not None:
        out.line(f"\n{chain['advice']}")
    bill = chain["bill"]
    if bill is not None:
        _print_rows(out, "Bill of the same day, model and kind of charge", bill)
        out.line(f"billed - computed, all such charges: {exact_text(bill['difference'])} ({bill['class']})")
    elif charge["x_CostOrigin"] == "billed":
        out.line("\nThe bill itself: the provider has priced these rows.")
    elif charge["x_CostOrigin"] == "estimated":
        out.line("\nNo bill of this day was read.")


def _print_rows(out: Output, title: str, found: Mapping[str, Any]) -> None:
    out.line(f"\n{title}: {len(found['rows'])} rows of {found['table']}")
    rows = found["rows"]
    names = [
        name
        for name in (rows[0] if rows else ())
        if name not in LINEAGE_COLUMNS[4:] and any(row[name] is not None for row in rows)
    ]
    if rows:
        out.table(names, [[row[name] for name in names] for row in rows])
