"""Late and restated charges of closed billing periods: the difference is charged in the next open period.

Charges of a closed period stay as they are. What a source reports for them now is compared with what is stored, by all
columns that distinguish one cost from another; each difference becomes a charge of ChargeClass Correction, in the first
open period of the issuer and account after the closed one. It is dated on the day of the usage, so a later run of the
source finds it: corrections of an open period are computed anew, those of a period that is closed by then stay as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Final

from convergence.domain.billing_periods import BillingPeriod, PeriodKey
from convergence.domain.sql_names import bigquery_name
from convergence.domain.times import following_month
from convergence.ports.warehouse import Parameter

OF_PERIOD: Final = "x_CorrectedPeriodStart"  # of a correction: first day of the period that it corrects
# What distinguishes one cost from another. Prices, quantities and texts about them may be restated.
KEYS: Final = (
    *("InvoiceIssuerName", "BillingAccountId", "BillingCurrency", "ChargeCategory", "ChargePeriodStart"),
    *("ChargePeriodEnd", "ServiceProviderName", "ServiceName", "SkuId", "SkuPriceId", "SkuMeter", "ResourceId"),
    *("SubAccountId", "RegionId", "AvailabilityZone", "Tags", "PricingCurrency", "PricingUnit", "ConsumedUnit"),
    *("CommitmentDiscountId", "CommitmentDiscountStatus", "CapacityReservationId", "x_Provider", "x_Model"),
    *("x_UsageKind", "x_ChargeKind", "x_Processing", "x_UserId", "x_ApiKeyId", "x_SourceTable"),
    *("x_org_slug", "x_pipeline_run_date"),
)
AMOUNTS: Final = (
    *("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "PricingCurrencyEffectiveCost"),
    *("PricingQuantity", "ConsumedQuantity", "CommitmentDiscountQuantity"),
)
# A difference has no price of its own and no invoice yet.
_EMPTY: Final = frozenset(
    {
        *("ListUnitPrice", "ContractedUnitPrice", "PricingCurrencyListUnitPrice", "PricingCurrencyContractedUnitPrice"),
        *("InvoiceId", "x_PriceId", "x_PriceEffectiveFrom"),
    }
)


def closed_parameters(periods: Sequence[BillingPeriod], run_id: str) -> dict[str, Parameter]:
    """Return the parameters of the conditions and queries here: closed periods, and the open one after each."""
    closed = {period.key for period in periods if period.status == "Closed"}
    keys = sorted(closed)
    starts = [_next_open(key, closed) for key in keys]
    bounds = {"starts": starts, "ends": [following_month(start) for start in starts]}
    return {
        "closed": Parameter("ARRAY<STRING>", [f"{key.month}\n{key.issuer}\n{key.account}" for key in keys]),
        **{
            name: Parameter("ARRAY<TIMESTAMP>", [datetime.combine(day, time.min, UTC) for day in days])
            for name, days in bounds.items()
        },
        "months": Parameter("ARRAY<STRING>", [f"{start:%Y-%m}" for start in starts]),
        "run_id": Parameter("STRING", run_id),
    }


def is_closed(alias: str) -> str:
    """Return the condition that a charge is of a closed period; one without issuer or account is of none."""
    return f"COALESCE({_key(alias)} IN UNNEST(@closed), FALSE)"


def corrections(columns: Mapping[str, str], new: str, standing: str) -> str:
    """Return the query of the corrections, with `columns` (name to type).

    `new`: FROM and WHERE of the candidates of closed periods, of the alias t. `standing`: of the charges that stand in
    closed periods, of the alias kept.
    """
    sides = " UNION ALL ".join(
        f"SELECT {', '.join(f'{alias}.{bigquery_name(name)}' for name in columns)}, {sign} AS x_sign,"
        f" {_of(alias)} AS x_of,"
        f" {_next(alias, 'starts')} AS x_start, {_next(alias, 'ends')} AS x_end,"
        f" {_next(alias, 'months')} AS x_month {rows}"
        for alias, sign, rows in (("t", 1, new), ("kept", -1, standing))
    )
    keys = ", ".join(f"side.{name}" for name in ("x_of", *KEYS))
    amounts = " OR ".join(f"COALESCE({_difference(name)}, 0) <> 0" for name in AMOUNTS)
    values = ", ".join(f"{_value(name, kind)} AS {bigquery_name(name)}" for name, kind in columns.items())
    return f"SELECT {values} FROM ({sides}) AS side GROUP BY {keys} HAVING {amounts}"


def not_taken_back(names: str, rows: str, alias: str) -> str:
    """Return the query of `names`, some of `KEYS`, of the costs that corrections have not reduced to zero.

    `rows`: FROM and WHERE of charges and their corrections, of this alias.
    """
    keys = ", ".join(f"{alias}.{name}" for name in KEYS)
    amounts = " OR ".join(f"COALESCE(SUM({alias}.{name}), 0) <> 0" for name in AMOUNTS)
    untouched = f"LOGICAL_AND({alias}.{OF_PERIOD} IS NULL)"
    return f"SELECT {names} {rows} GROUP BY {_of(alias)}, {keys} HAVING {untouched} OR {amounts}"


def _of(alias: str) -> str:
    """Return the first day of the period that a charge concerns."""
    return f"COALESCE({alias}.{OF_PERIOD}, DATE_TRUNC(DATE({alias}.BillingPeriodStart), MONTH))"


def _value(name: str, kind: str) -> str:
    if name in KEYS:
        return f"side.{name}"
    if name in AMOUNTS:
        return _difference(name)
    known = {
        "ChargeClass": "'Correction'",
        "BillingPeriodStart": "MIN(side.x_start)",
        "BillingPeriodEnd": "MIN(side.x_end)",
        OF_PERIOD: "side.x_of",
        "x_ChargeId": _charge_id(),
        "x_run_id": "@run_id",
        "x_ingested_at": "CURRENT_TIMESTAMP()",
        "x_ingestion_date": "CURRENT_DATE()",
    }
    if name in known:
        return known[name]
    if name == "x_SourceRowId":  # as the source reports it now; what it reported before is no longer stored
        now = f"IF(side.x_sign = 1, side.{name}, NULL)"
        return f"STRING_AGG(DISTINCT {now}, ' ' ORDER BY {now})"
    if name in _EMPTY:
        return f"CAST(NULL AS {kind})"
    value = f"side.{bigquery_name(name)}"  # as the source reports it now; for a charge that is gone, as it is stored
    return f"COALESCE(MAX(IF(side.x_sign = 1, {value}, NULL)), MAX({value}))"


def _difference(name: str) -> str:
    return f"SUM(side.x_sign * side.{name})"


def _charge_id() -> str:
    texts = ", ".join(f"COALESCE(CAST(side.{name} AS STRING), '')" for name in ("x_of", *KEYS))
    return f"SUBSTR(TO_HEX(SHA256(TO_JSON_STRING(['correction', MIN(side.x_month), {texts}]))), 1, 16)"


def _next(alias: str, bounds: str) -> str:
    found = f"SELECT MIN(@{bounds}[OFFSET(n)]) FROM UNNEST(@closed) AS period WITH OFFSET AS n"
    return f"({found} WHERE period = {_key(alias)})"


def _key(alias: str) -> str:
    month = f"CAST(DATE_TRUNC(DATE({alias}.BillingPeriodStart), MONTH) AS STRING)"
    return f"CONCAT({month}, '\\n', {alias}.InvoiceIssuerName, '\\n', {alias}.BillingAccountId)"


def _next_open(key: PeriodKey, closed: set[PeriodKey]) -> date:
    month = following_month(key.month)
    while PeriodKey(month, key.issuer, key.account) in closed:
        month = following_month(month)
    return month
