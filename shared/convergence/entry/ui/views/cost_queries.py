"""What the cost pages ask the warehouse: an org's own dataset only, values as parameters, bounded in rows and bytes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Final

from convergence.domain.sql_names import checked
from convergence.engine.daily_costs import RANGE, Row
from convergence.engine.services import Services, dataset_of
from convergence.errors import InvalidInput
from convergence.ports.warehouse import Parameter, Scope, Statement

TRACKING: Final = "org_cost_tracking"
UNIFIED: Final = "unified_cost_daily"
_ROWS_MAX: Final = 20_000
CHARGES_PER_PAGE: Final = 50
_BYTES_MAX: Final = 20_000_000_000
_TIMEOUT_S: Final = 30.0

LATEST: Final = "SELECT MAX(ChargePeriodStart) AS start FROM cost_data_standard_1_3"
COMPARED: Final = """
SELECT provider, currency, state, class, COUNT(*) AS rows_compared, SUM(computed_cost) AS computed,
  SUM(billed_cost) AS billed, SUM(difference) AS difference, MAX(checked_at) AS checked_at
FROM (
  SELECT * FROM org_cost_tracking
  WHERE usage_date BETWEEN @first AND @last
  QUALIFY x_run_id = FIRST_VALUE(x_run_id) OVER (
    PARTITION BY provider, x_credential_id, usage_date ORDER BY checked_at DESC, x_run_id
  )
)
GROUP BY provider, currency, state, class
ORDER BY provider, currency, state, class
"""
# As the report `allocation`: what the parts of a charge leave of it, or have too much, is not read yet.
ALLOCATED: Final = f"""
WITH charged AS (
  SELECT x_pipeline_run_date AS charge_date, COALESCE(x_Provider, '') AS provider,
    COALESCE(x_ChargeId, '') AS charge_id, COALESCE(x_credential_id, '') AS credential_id,
    BillingCurrency AS currency, SUM(BilledCost) AS cost
  FROM cost_data_standard_1_3
  WHERE {RANGE}
  GROUP BY charge_date, provider, charge_id, credential_id, currency
),
part AS (
  SELECT charge_date, provider, COALESCE(charge_id, '') AS charge_id,
    COALESCE(source_credential_id, '') AS credential_id, currency, COALESCE(team, '') AS team, SUM(billed_cost) AS cost
  FROM unified_cost_daily
  WHERE x_pipeline_run_date >= @first
  GROUP BY charge_date, provider, charge_id, credential_id, currency, team
),
allocated AS (
  SELECT part.team, charged.currency, part.cost
  FROM charged
  JOIN part
    ON part.charge_date = charged.charge_date AND part.provider = charged.provider
    AND part.charge_id = charged.charge_id AND part.credential_id = charged.credential_id
    AND part.currency = charged.currency
)
SELECT team, is_read, currency, SUM(cost) AS cost
FROM (
  SELECT team, TRUE AS is_read, currency, cost FROM allocated
  UNION ALL
  SELECT '', FALSE, currency, cost FROM charged
  UNION ALL
  SELECT '', FALSE, currency, -cost FROM allocated
)
GROUP BY team, is_read, currency
HAVING is_read OR cost <> 0
ORDER BY cost DESC, team, is_read DESC
"""  # noqa: S608 - constants
_TEAM: Final = "COALESCE(SubAccountName, SubAccountId, '')"
_MODEL: Final = "COALESCE(x_Model, SkuMeter, ChargeDescription, '')"
_COLUMNS: Final = {
    "provider": "COALESCE(ServiceProviderName, '')",
    "service": "COALESCE(ServiceName, '')",
    "model": _MODEL,
    "team": _TEAM,
    "currency": "BillingCurrency",
    "tags": "IF(COALESCE(Tags, '{}') IN ('{}', ''), '', Tags)",
}
_CHARGES: Final = f"""
SELECT DATE(ChargePeriodStart) AS day, ServiceProviderName AS provider, ServiceName AS service,
  {_MODEL} AS model, x_ChargeKind AS kind, BilledCost AS cost,
  BillingCurrency AS currency, PricingQuantity AS quantity, PricingUnit AS unit, ListUnitPrice AS unit_price,
  x_CostOrigin AS origin, x_PriceSource AS price_source, x_ChargeId AS charge_id, x_run_id AS run_id,
  x_SourceTable AS source_table, x_SourceRowId AS source_rows, Tags AS tags
"""
_FOUND: Final = f"""
FROM cost_data_standard_1_3
WHERE {RANGE}"""


def charges_sql(asked: Collection[str], without: str, *, goes_on: bool) -> str:
    """Return the statement for a page of charges, with parameters for the names in `asked`, `after` and `skip`.

    `without`: only charges without that; empty for all. A page that goes on begins at the last id of the one before;
    of charges with that id, and of those without any, `skip` were shown.
    """
    after = "\n  AND x_ChargeId >= @after" if goes_on else ""
    # Bare columns: of a million charges only these are sorted, and the others read for fifty. NULL comes first.
    order = "x_ChargeId, x_pipeline_run_date, x_credential_id, BilledCost"
    # Constants of this module alone: what is asked for are names of its columns, their values are parameters.
    return f"{_CHARGES}{_matching(asked, without)}{after}\nORDER BY {order}\nLIMIT {CHARGES_PER_PAGE}\nOFFSET @skip"


def charged_sql(asked: Collection[str], without: str) -> str:
    """Return the statement for the number and the sum of those charges by currency."""
    sums = "COUNT(*) AS charges, SUM(BilledCost) AS cost"
    matching = _matching(asked, without)
    return f"SELECT BillingCurrency AS currency, {sums}{matching}\nGROUP BY currency\nORDER BY charges DESC, currency"


def _matching(asked: Collection[str], without: str) -> str:
    """Return FROM and WHERE with a condition for what is asked for alone: each costs time with a million charges."""
    conditions = [f"{column} = @{name}" for name, column in _COLUMNS.items() if name in asked]
    conditions += [f"{_COLUMNS[without]} = ''"] if without else []
    return _FOUND + "".join(f"\n  AND {each}" for each in conditions)


async def tables_of(services: Services, org: str) -> frozenset[str]:
    """Return the names of the tables that an org's dataset has."""
    dataset = checked(dataset_of(services, org), "dataset")
    sql = f"SELECT table_name FROM {dataset}.INFORMATION_SCHEMA.TABLES"  # noqa: S608 - a checked name
    found = await services.warehouse.query(Statement(sql, scope=Scope(dataset=dataset), rows_max=_ROWS_MAX))
    return frozenset(row["table_name"] for row in found.rows)


async def ask(
    services: Services, org: str, sql: str, parameters: Mapping[str, Parameter], *, rows_max: int = _ROWS_MAX
) -> list[Row]:
    """Return the rows of a SELECT over the org's dataset, at most `rows_max`."""
    statement = Statement(
        sql,
        parameters,
        scope=Scope(dataset=dataset_of(services, org)),
        rows_max=rows_max,
        bytes_max=_BYTES_MAX,
        timeout_s=_TIMEOUT_S,
    )
    return list((await services.warehouse.query(statement)).rows)


def days(first: date, last: date) -> dict[str, Parameter]:
    """Return the parameters of a range, both days included."""
    return {"first": Parameter("DATE", first), "last": Parameter("DATE", last)}


async def raw_rows(services: Services, org: str, table: str, row_ids: list[str]) -> list[Row]:
    """Return the raw rows that a charge was made from, at most 50. Raises `InvalidInput` for an unknown table."""
    if table not in await tables_of(services, org):
        raise InvalidInput(f"{org} has no table {table[:100]!r}")
    sql = f"SELECT * FROM {checked(table, 'table')} WHERE row_id IN UNNEST(@ids)"  # noqa: S608 - a checked name
    ids = Parameter("ARRAY<STRING>", row_ids[:CHARGES_PER_PAGE])
    return await ask(services, org, sql, {"ids": ids}, rows_max=CHARGES_PER_PAGE)
