"""Closed billing periods: a run that would change one of their charges is refused before it changes anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

from convergence.domain.billing_periods import BillingPeriod
from convergence.domain.sql_names import bigquery_name
from convergence.errors import PeriodClosed
from convergence.ports.processor import Context
from convergence.ports.warehouse import LINEAGE_COLUMNS, Parameter, Row

PERIODS_SHOWN: Final = 5
_KEY: Final = "InvoiceIssuerName, BillingAccountId, DATE_TRUNC(DATE(BillingPeriodStart), MONTH)"


async def refuse_changes(
    context: Context,
    periods: Iterable[BillingPeriod],
    coming: str,
    going: str,
    columns: Iterable[str],
    given: Mapping[str, Parameter],
) -> None:
    """Raise `PeriodClosed` when the incoming charges of one of these periods differ from those that they replace.

    `coming` and `going`: queries of the two, with the parameters `given`. A run that brings the same charges again is
    allowed.
    """
    closed = {(each.key.month, each.key.issuer, each.key.account): each for each in periods}
    if not closed:
        return
    # Lineage records which run wrote a charge: the only difference when a run is repeated. Nor does a cost change when
    # its raw rows become known: an earlier release had no ids for those of bills.
    names = [name for name in columns if name not in {*LINEAGE_COLUMNS, "x_SourceRowId"}]
    found = await context.warehouse.query(_differences(coming, going, names), given, rows_max=10_000)
    changed = {_key_of(row): int(row["n"]) for row in found.rows}
    refused = sorted(changed.keys() & closed.keys())
    if refused:
        more = f" and {len(refused) - PERIODS_SHOWN} more" if len(refused) > PERIODS_SHOWN else ""
        shown = "; ".join(f"{closed[key].key} ({changed[key]} charges)" for key in refused[:PERIODS_SHOWN])
        late = any(closed[key].updated_at > context.started_at for key in refused)
        raise PeriodClosed(
            f"the run would change charges of billing periods that {'were closed while it was under way' * late}"
            f"{'are closed' * (not late)}, so nothing was published: {shown}{more}."
            f" {'Start the run again, leave' if late else 'Leave'} their days out, or open them again with:"
            " convergence period reopen"
        )


def _differences(coming: str, going: str, names: Sequence[str]) -> str:
    """Return the query that counts, by period, the charges that are on one side only."""
    quoted = ", ".join(map(bigquery_name, names))
    sides = [f"SELECT {quoted}, COUNT(*) AS x_times FROM ({rows}) GROUP BY {quoted}" for rows in (coming, going)]
    one_sided = " UNION ALL ".join(
        f"SELECT * FROM (SELECT * FROM ({first}) EXCEPT DISTINCT SELECT * FROM ({second}))"
        for first, second in (sides, sides[::-1])
    )
    return f"SELECT {_KEY} AS month, COUNT(*) AS n FROM ({one_sided}) GROUP BY {_KEY}"


def _key_of(row: Row) -> tuple[date, str, str]:
    return row["month"], row["InvoiceIssuerName"], row["BillingAccountId"]
