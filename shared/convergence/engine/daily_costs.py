"""An org's costs by day and group, from a table of daily sums where one process owns the warehouse.

Summing a million charges for each page takes too long there. `org_cost_daily` holds the sums; `changed_days` compares
each day's number of charges, their sum and the latest time of writing with the charges, and `renew` sums days again. So
a run that publishes charges need not know of the table, and a lost table is rebuilt. A tenant's own statement that
changes names or tags of charges in place changes none of the three: `rebuild` sums all days again. On Google Cloud each
query is billed and the warehouse sums quickly: there the charges themselves are summed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from convergence.engine.services import Services, dataset_of
from convergence.errors import InvalidInput
from convergence.ports.warehouse import Lineage, Load, Parameter, Scope, Statement

FOCUS: Final = "cost_data_standard_1_3"
TABLE: Final = "org_cost_daily"
GROUPS_MAX: Final = 20_000  # that a caller gets
_STORED_MAX: Final = 200_000  # of the days that are summed at once
_DAYS_AT_ONCE: Final = 31
_BYTES_MAX: Final = 20_000_000_000
_TIMEOUT_S: Final = 60.0
COMPARED_DAYS: Final = 14  # the last seven charged days and the seven before them
_CHANGES_MAX: Final = 20
_PIPELINE: Final = "daily costs"  # the rows belong to no pipeline; their slice needs a name
Row = Mapping[str, Any]
Group = Literal["day", "provider", "service", "model", "team", "currency", "daily"]

# A bare column and constants: a function of each row's time costs more than everything else.
RANGE: Final = (
    "ChargePeriodStart >= TIMESTAMP(@first) AND ChargePeriodStart < TIMESTAMP(DATE_ADD(@last, INTERVAL 1 DAY))"
)
# By start first, then by day: a few thousand groups have a day computed, not a million charges.
_SUMS: Final = f"""
SELECT DATE(start) AS day, provider, service, model, team, currency,
  COALESCE(frequency, '') <> 'One-Time' AND until <= TIMESTAMP_ADD(start, INTERVAL 1 DAY) AS daily,
  SUM(cost) AS cost, SUM(charges) AS charges, SUM(untagged) AS untagged, MAX(written_at) AS written_at
FROM (
  SELECT ChargePeriodStart AS start, ChargePeriodEnd AS until, ChargeFrequency AS frequency,
    ServiceProviderName AS provider, ServiceName AS service,
    COALESCE(x_Model, SkuMeter, ChargeDescription, '') AS model, COALESCE(SubAccountName, SubAccountId, '') AS team,
    BillingCurrency AS currency, SUM(BilledCost) AS cost, COUNT(*) AS charges,
    SUM(IF(COALESCE(Tags, '{{}}') IN ('{{}}', ''), BilledCost, 0)) AS untagged, MAX(x_ingested_at) AS written_at
  FROM cost_data_standard_1_3
  WHERE {RANGE}
  GROUP BY start, until, frequency, provider, service, model, team, currency
)
GROUP BY day, provider, service, model, team, currency, daily
"""  # noqa: S608 - constants
# As the report `top_movers`, which reads charges; a test compares both.
_CHANGES: Final = """
SELECT provider, service, model, currency,
  SUM(IF(day > @middle, cost, 0)) AS billed, SUM(IF(day > @middle, 0, cost)) AS previous,
  SUM(IF(day > @middle, cost, -cost)) AS change
FROM {source}
GROUP BY provider, service, model, currency
ORDER BY ABS(change) DESC, provider, service, model, currency
LIMIT {most}
"""
_STORED: Final = "org_cost_daily WHERE x_pipeline_run_date BETWEEN @first AND @last"
_DIFFERENT: Final = f"""
WITH charged AS (
  SELECT DATE(start) AS day, SUM(charges) AS charges, SUM(cost) AS cost, MAX(written_at) AS written_at
  FROM (
    SELECT ChargePeriodStart AS start, COUNT(*) AS charges, SUM(BilledCost) AS cost, MAX(x_ingested_at) AS written_at
    FROM cost_data_standard_1_3
    WHERE {RANGE}
    GROUP BY start
  )
  GROUP BY day
),
kept AS (
  SELECT day, SUM(charges) AS charges, SUM(cost) AS cost, MAX(written_at) AS written_at
  FROM org_cost_daily
  WHERE x_pipeline_run_date BETWEEN @first AND @last
  GROUP BY day
)
SELECT COALESCE(charged.day, kept.day) AS day, COALESCE(charged.charges, 0) AS charges
FROM charged FULL JOIN kept ON charged.day = kept.day
WHERE charged.day IS NULL OR kept.day IS NULL OR charged.charges <> kept.charges OR charged.cost <> kept.cost
  OR charged.written_at IS DISTINCT FROM kept.written_at
ORDER BY day
"""  # noqa: S608 - constants


async def summed_costs(services: Services, org: str, first: date, last: date, by: Sequence[Group]) -> list[Row]:
    """Return each of `by`, `cost`, `charges` and `untagged`; amounts are exact. Call `renew` before.

    `daily`: the charges are of a single day and may recur, unlike one for a month.

    Raises:
        InvalidInput: the days have more groups than a caller can get.
    """
    names = ", ".join(by)
    sums = "SUM(cost) AS cost, SUM(charges) AS charges, SUM(untagged) AS untagged"
    sql = f"SELECT {names}, {sums} FROM {_source(services)} GROUP BY {names}"  # noqa: S608 - constants
    rows = await _ask(services, org, sql, first, last, GROUPS_MAX)
    if len(rows) >= GROUPS_MAX:
        raise InvalidInput(f"these days have more than {GROUPS_MAX:,} groups of charges; choose fewer days")
    return rows


async def largest_changes(services: Services, org: str, latest: date) -> list[Row]:
    """Return the largest changes of the seven days to `latest` against the seven before. Call `renew` before.

    Rows are those of the report `top_movers` with `latest` as the last charged day.
    """
    middle = latest - timedelta(days=COMPARED_DAYS // 2)
    sql = _CHANGES.format(source=_source(services), most=_CHANGES_MAX)
    first = latest - timedelta(days=COMPARED_DAYS - 1)
    return await _ask(services, org, sql, first, latest, _CHANGES_MAX, middle=Parameter("DATE", middle))


class Changed(NamedTuple):
    """A day whose sums are not those of its charges; `charges`: how many it has by now."""

    day: date
    charges: int


async def changed_days(services: Services, org: str, first: date, last: date) -> list[Changed]:
    """Return the days whose charges have changed since they were summed.

    The org's dataset has the table of charges. Only where one process owns the warehouse.
    """
    await _ensure(services, org)
    found = await _ask(services, org, _DIFFERENT, first, last, GROUPS_MAX)
    return [Changed(row["day"], row["charges"]) for row in found]


async def charges_of(services: Services, org: str, first: date, last: date) -> int:
    """Return how many charges the days have. The org's dataset has the table of charges."""
    sql = f"SELECT COUNT(*) AS charges FROM cost_data_standard_1_3 WHERE {RANGE}"  # noqa: S608 - constants
    (found,) = await _ask(services, org, sql, first, last, 1)
    return int(found["charges"])


async def renew(services: Services, org: str, days: Sequence[date]) -> None:
    """Sum days again, in order."""
    for some in _together(days):
        await _store(services, org, some)


async def rebuild(services: Services, org: str, first: date, last: date) -> None:
    """Sum all days of a range again."""
    await _ensure(services, org)
    await renew(services, org, [first + timedelta(days=n) for n in range((last - first).days + 1)])


async def summed_at(services: Services, org: str) -> datetime | None:
    """Return when charges were last summed, None when they never were. The table of sums exists."""
    (found,) = await _ask(services, org, "SELECT MAX(x_ingested_at) AS at FROM org_cost_daily", None, None, 1)
    at: datetime | None = found["at"]
    return at


def _source(services: Services) -> str:
    """Return what stands for the table of sums: itself, or a query of the charges."""
    return _STORED if services.settings.sole_process else f"({_SUMS})"


async def _ensure(services: Services, org: str) -> None:
    """Make the table of sums or its new columns; a write waits for all earlier ones, so there is none without need."""
    dataset, schema = dataset_of(services, org), services.schemas.get(TABLE)
    stored = {column.name for column in await services.warehouse.columns(dataset, TABLE)}
    if not stored.issuperset(column.name for column in schema.columns):
        await services.warehouse.ensure_table(dataset, schema)


def _together(days: Sequence[date]) -> Iterator[Sequence[date]]:
    """Return the days in parts that one statement sums, each within a month's time."""
    part: list[date] = []
    for day in days:
        if part and (day - part[0]).days >= _DAYS_AT_ONCE:
            yield part
            part = []
        part.append(day)
    if part:
        yield part


async def _store(services: Services, org: str, days: Sequence[date]) -> None:
    """Replace the sums of days; those between them stay as they are."""
    found = await _ask(services, org, _SUMS, days[0], days[-1], _STORED_MAX)
    if len(found) >= _STORED_MAX:
        raise InvalidInput(f"{days[0]} to {days[-1]} have {_STORED_MAX:,} groups of charges or more")
    selected = frozenset(days)
    dataset, schema, job = dataset_of(services, org), services.schemas.get(TABLE), services.ids.new("daily")
    now = services.clock.now()
    lineage = Lineage(org_slug=org, pipeline_id=_PIPELINE, credential_id="", run_id=job, ingested_at=now)
    stage = services.warehouse.stage(dataset, schema, job)
    await stage.write(0, [row for row in found if row["day"] in selected])
    load = Load(job_id=job, dataset=dataset, table=schema, lineage=lineage, dates=tuple(days), date_field="day")
    await services.warehouse.load(load, stage)


async def _ask(
    services: Services, org: str, sql: str, first: date | None, last: date | None, rows_max: int, **more: Parameter
) -> list[Row]:
    days = {} if first is None else {"first": Parameter("DATE", first), "last": Parameter("DATE", last)}
    scope = Scope(dataset=dataset_of(services, org))
    statement = Statement(sql, days | more, scope=scope, rows_max=rows_max, bytes_max=_BYTES_MAX, timeout_s=_TIMEOUT_S)
    return list((await services.warehouse.query(statement)).rows)
