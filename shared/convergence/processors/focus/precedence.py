"""Each cost once: which of two sources' charges of the same cost count, when a source publishes.

The rules are `configs/system/precedence.yml`. Charges that do not count are in `cost_data_superseded`. One statement
alone changes `cost_data_standard_1_3`, so its sums are right at every moment: rows added to `cost_data_superseded` are
written before it, rows that leave it are removed afterwards. Each statement leaves the same rows when it is sent again.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from convergence.config.files.models import Precedence
from convergence.config.files.schemas.folder import TableSchemas
from convergence.domain.sql_names import bigquery_name
from convergence.ports.warehouse import Parameter, TableSchema
from convergence.processors.focus.corrections import OF_PERIOD, corrections, is_closed, not_taken_back

SUPERSEDED: Final = "cost_data_superseded"
REASON: Final = "x_SupersededReason"
# What identifies a charge among all others of an org, whichever pipeline of its source wrote it.
IDENTITY: Final = ("x_pipeline_run_date", "x_credential_id", "x_Provider", "x_ChargeId")
# One row for each source of a rule; those with services have a row for each of them. `head` and `tail` are what is
# before and after the * of a service; without one, `tail` is null.
_DECLARED: Final = """declared AS (
  SELECT provider, NULLIF(@services[OFFSET(n)], '') AS service, @rules[OFFSET(n)] AS rule, @places[OFFSET(n)] AS place,
    SPLIT(@services[OFFSET(n)], '*')[OFFSET(0)] AS head, SPLIT(@services[OFFSET(n)], '*')[SAFE_OFFSET(1)] AS tail,
    @by_account[OFFSET(n)] AS by_account, @by_month[OFFSET(n)] AS by_month,
    @since[OFFSET(n)] AS since, @until[OFFSET(n)] AS until
  FROM UNNEST(@providers) AS provider WITH OFFSET AS n
)"""


def _is_named(alias: str, service: str) -> str:
    """Return whether a service has the name that a row of rules has."""
    return (
        f"IF({alias}.tail IS NULL, {alias}.service = {service}, STARTS_WITH({service}, {alias}.head)"
        f" AND ENDS_WITH({service}, {alias}.tail)"
        f" AND LENGTH({service}) >= LENGTH({alias}.head) + LENGTH({alias}.tail))"
    )


# For each rule, account and day (or month), the source that counts. `account` is empty where it is not known or not
# compared, `service` where the sources name theirs.
_COUNTING: Final = f"""counting AS (
  SELECT rule, account, service, unit, MIN(place) AS place
  FROM (
    SELECT declared.rule, declared.place,
      IF(declared.by_account, claim.account, '') AS account,
      IF(declared.service IS NULL, claim.service, '') AS service,
      IF(declared.by_month, DATE_TRUNC(claim.day, MONTH), claim.day) AS unit
    FROM claims AS claim
    JOIN declared
      ON declared.provider = claim.provider
      AND (declared.service IS NULL OR {_is_named("declared", "claim.service")})
      AND claim.day BETWEEN declared.since AND declared.until
  )
  GROUP BY rule, account, service, unit
)"""
# Charges that do not count: their provider, service, account and days.
_LOSING: Final = """losing AS (
  SELECT source.provider, COALESCE(source.service, counting.service) AS service, source.head, source.tail,
    source.by_account, counting.account,
    GREATEST(counting.unit, source.since) AS first_day,
    LEAST(IF(source.by_month, LAST_DAY(counting.unit, MONTH), counting.unit), source.until) AS last_day,
    CONCAT('rule ', source.rule, ': charges of ', winner.provider, ' count') AS reason
  FROM counting
  JOIN declared AS source ON source.rule = counting.rule AND counting.place < source.place
  JOIN (SELECT DISTINCT rule, place, provider FROM declared) AS winner
    ON winner.rule = counting.rule AND winner.place = counting.place
)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What a source publishes.

    `columns`: name to type, those of `table`. `mine`: condition on the incoming candidates (alias t). `replaced`:
    condition on the charges that they replace (alias kept), with the bounds of their days. `corrects`: charges of
    closed periods stay, and differences are charged in an open one (`corrections`).
    """

    candidates: str
    table: str
    columns: Mapping[str, str]
    mine: str
    replaced: str
    corrects: bool = False

    @property
    def entering(self) -> str:
        """The condition on candidates that are published unchanged."""
        return f"{self.mine} AND NOT {is_closed('t')}" if self.corrects else self.mine

    @property
    def leaving(self) -> str:
        """The condition on charges that are removed."""
        return f"{self.replaced} AND NOT {is_closed('kept')}" if self.corrects else self.replaced


def superseded(schemas: TableSchemas, table: str) -> TableSchema:
    """Return the table of charges that do not count, with all columns of `table`: a folder may have its own."""
    shipped = schemas.get(SUPERSEDED)
    known = {column.name for column in shipped.columns}
    own = (replace(column, mode="NULLABLE") for column in schemas.get(table).columns if column.name not in known)
    return replace(shipped, columns=(*shipped.columns, *own))


def declared(rules: Precedence, first: date, last: date) -> dict[str, Parameter]:
    """Return the parameters that the statements have beside those of the publication, for its first and last day."""
    rows: list[tuple[Any, ...]] = []
    for rule in rules.precedence:
        since, until = date.fromisoformat(f"{rule.from_}-01"), _month_end(date.fromisoformat(f"{rule.to}-01"))
        for place, source in enumerate(rule.sources):
            flags = ("account" in rule.match, "month" in rule.match)
            named = ((source.provider, service) for service in source.services or ("",))
            rows += [(*names, rule.name, place, *flags, since, until) for names in named]
    if any("month" in rule.match for rule in rules.precedence):
        first, last = first.replace(day=1), _month_end(last)
    kinds = {
        **dict.fromkeys(("providers", "services", "rules"), "STRING"),
        "places": "INT64",
        **dict.fromkeys(("by_account", "by_month"), "BOOL"),
        **dict.fromkeys(("since", "until"), "DATE"),
    }
    arrays = {
        name: Parameter(f"ARRAY<{kind}>", [row[number] for row in rows])
        for number, (name, kind) in enumerate(kinds.items())
    }
    return {**arrays, "from_day": Parameter("DATE", first), "to_day": Parameter("DATE", last)}


def coming(what: Publication) -> str:
    """Return the query of the charges that come: those of the source that count, and others' that count again."""
    rows = f"FROM {bigquery_name(what.candidates)} AS t WHERE {{mine}} AND NOT {_loses('t')}"
    sql = f"{_losing(what)} SELECT {_names(what.columns, 't')} {rows.format(mine=what.entering)}"
    if what.corrects:
        new = f"{rows.format(mine=what.mine)} AND {is_closed('t')}"
        standing = f"FROM {bigquery_name(what.table)} AS kept WHERE {what.replaced} AND {is_closed('kept')}"
        sql += f" UNION ALL SELECT {_names(what.columns)} FROM ({corrections(what.columns, new, standing)})"
    return f"{sql} UNION ALL {_returning(what)}"


def returning(what: Publication) -> str:
    """Return the query of the charges of other sources that count again."""
    return f"{_losing(what)} {_returning(what)}"


def beaten(what: Publication) -> str:
    """Return the query of the charges of other sources that no longer count."""
    return (
        f"{_losing(what)} SELECT {_names(what.columns, 'kept')} FROM {_others(what, what.table)} AND {_loses('kept')}"
    )


def going(what: Publication) -> str:
    """Return the query of the charges that go: those that are replaced, and others' that no longer count."""
    names = _names(what.columns, "kept")
    return (
        f"{_losing(what)} SELECT {names} FROM {bigquery_name(what.table)} AS kept WHERE {what.leaving}"
        f" UNION ALL SELECT {names} FROM {_others(what, what.table)} AND {_loses('kept')}"
    )


def setting_aside(what: Publication) -> str:
    """Return the statement that adds to `cost_data_superseded`, before the publication, what will not count.

    The source's own charges are replaced there as well.
    """
    names = _names((*what.columns, REASON))
    there = _same("there", "kept")
    source = (
        f"{_losing(what)} SELECT {_names(what.columns, 't')}, {_reason('t')} AS {REASON}"
        f" FROM {bigquery_name(what.candidates)} AS t WHERE {what.mine} AND {_loses('t')}"
        f" UNION ALL SELECT {_names(what.columns, 'kept')}, {_reason('kept')}"
        f" FROM {_others(what, what.table)} AND {_loses('kept')}"
        f" AND NOT EXISTS (SELECT 1 FROM {SUPERSEDED} AS there WHERE {_here('there')} AND {there})"
    )
    return (
        f"MERGE INTO {SUPERSEDED} AS kept USING ({source}) AS new ON FALSE"
        f" WHEN NOT MATCHED BY SOURCE AND {what.replaced} THEN DELETE"
        f" WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({_names((*what.columns, REASON), 'new')})"
    )


def publishing(what: Publication) -> str:
    """Return the statement for the table of charges: remove what is replaced or does not count, and add what counts.

    Added rows match nothing. A charge of another source that no longer counts has a row that only names it.
    """
    names = _names(what.columns)
    named = ", ".join(
        f"kept.{bigquery_name(name)}" if name in IDENTITY else f"CAST(NULL AS {kind}) AS {bigquery_name(name)}"
        for name, kind in what.columns.items()
    )
    source = (
        f"SELECT TRUE AS x_is_new, {names} FROM ({coming(what)})"
        f" UNION ALL SELECT DISTINCT FALSE, {names} FROM ({_losing(what)} SELECT {named}"
        f" FROM {_others(what, what.table)} AND {_loses('kept')})"
    )
    return (
        f"MERGE INTO {bigquery_name(what.table)} AS kept USING ({source}) AS new"
        f" ON NOT new.x_is_new AND {_here('kept')} AND {_same('kept', 'new')}"
        f" WHEN MATCHED THEN DELETE WHEN NOT MATCHED BY SOURCE AND {what.leaving} THEN DELETE"
        f" WHEN NOT MATCHED AND new.x_is_new THEN INSERT ({names}) VALUES ({_names(what.columns, 'new')})"
    )


def tidying(what: Publication) -> str:
    """Return the statement for `cost_data_superseded` after the publication: what counts again goes."""
    there = _same("there", "kept")
    return (
        f"DELETE FROM {SUPERSEDED} AS kept WHERE {_here('kept')}"
        f" AND EXISTS (SELECT 1 FROM {bigquery_name(what.table)} AS there WHERE {_here('there')} AND {there})"
    )


def _returning(what: Publication) -> str:
    there = _same("there", "kept")
    return (
        f"SELECT {_names(what.columns, 'kept')} FROM {_others(what, SUPERSEDED)} AND NOT {_loses('kept')}"
        f" AND NOT EXISTS (SELECT 1 FROM {bigquery_name(what.table)} AS there WHERE {_here('there')} AND {there})"
    )


def _losing(what: Publication) -> str:
    """Return WITH of the charges that do not count, once the source has published."""
    key = "{0}.x_Provider AS provider, {0}.ServiceName AS service, {0}.BillingAccountId AS id"
    key += ", {0}.x_pipeline_run_date AS day"
    kept, others = key.format("kept"), _others(what, what.table)
    # What corrections of a closed period have taken back is reported no longer. Only days that have any are summed up.
    corrected = f"SELECT DISTINCT {kept} FROM {others} AND kept.{OF_PERIOD} IS NOT NULL"
    is_corrected = (
        "EXISTS (SELECT 1 FROM corrected WHERE corrected.provider = kept.x_Provider"
        " AND corrected.service = kept.ServiceName AND corrected.id = kept.BillingAccountId"
        " AND corrected.day = kept.x_pipeline_run_date)"
    )
    claims = (
        f"SELECT {key.format('t')} FROM {bigquery_name(what.candidates)} AS t WHERE {what.mine}"
        f" UNION ALL SELECT {kept} FROM {_others(what, SUPERSEDED)}"
        f" UNION ALL SELECT {kept} FROM {others} AND NOT {is_corrected}"
        f" UNION ALL SELECT * FROM ({not_taken_back(kept, f'FROM {others} AND {is_corrected}', 'kept')})"
    )
    of_accounts = f"SELECT DISTINCT provider, service, {_account('claim.id')} AS account, day FROM ({claims}) AS claim"
    return f"WITH {_DECLARED}, corrected AS ({corrected}), claims AS ({of_accounts}), {_COUNTING}, {_LOSING}"


def _account(account: str) -> str:
    """Return an account without the path before it; empty where it is not known, or the org's slug stands in for it."""
    return f"COALESCE(REGEXP_EXTRACT(LOWER(NULLIF({account}, @org_slug)), r'[^/]+$'), '')"


def _others(what: Publication, table: str) -> str:
    """Return FROM and WHERE of the charges of a table that stay, as far as this publication decides."""
    return f"{bigquery_name(table)} AS kept WHERE {_here('kept')} AND NOT COALESCE({what.replaced}, FALSE)"


def _here(alias: str) -> str:
    return f"{alias}.x_org_slug = @org_slug AND {alias}.x_pipeline_run_date BETWEEN @from_day AND @to_day"


def _same(one: str, other: str) -> str:
    return " AND ".join(f"{one}.{name} = {other}.{name}" for name in IDENTITY)


def _matches(alias: str) -> str:
    # A charge without a known account loses to any other; one that counts without it beats none with a known account.
    account = _account(f"{alias}.BillingAccountId")
    return (
        f"losing.provider = {alias}.x_Provider AND {_is_named('losing', f'{alias}.ServiceName')}"
        f" AND (NOT losing.by_account OR {account} IN ('', losing.account))"
        f" AND {alias}.x_pipeline_run_date BETWEEN losing.first_day AND losing.last_day"
    )


def _loses(alias: str) -> str:
    return f"EXISTS (SELECT 1 FROM losing WHERE {_matches(alias)})"


def _reason(alias: str) -> str:
    return f"(SELECT MIN(losing.reason) FROM losing WHERE {_matches(alias)})"


def _names(columns: Iterable[str], alias: str = "") -> str:
    return ", ".join((f"{alias}." if alias else "") + bigquery_name(name) for name in columns)


def _month_end(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])
