"""What changed most from one week to the next: the report `top_movers`, with the way to the charges behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from convergence.config.files.reports import Days, find_report
from convergence.engine.daily_costs import FOCUS, Row
from convergence.engine.services import Services
from convergence.entry.ui.views.cost_queries import ask

REPORT: Final = "top_movers"
COMPARED_DAYS: Final = 14  # the last seven charged days and the seven before them
_NAMES: Final = ("provider", "service", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """One line of the report. `query` asks for the charges of both weeks; None where an address cannot name them."""

    name: str
    about: str
    billed: Decimal
    previous: Decimal
    change: Decimal
    query: Mapping[str, str] | None


async def top_movers(services: Services, org: str, latest: date) -> list[Row]:
    """Return the report's rows; `latest` is the last charged day. The org's dataset has the table of charges."""
    report = find_report(services.configs_dir, REPORT)
    columns = frozenset(column.name for column in services.schemas.get(FOCUS).columns)
    days = Days(_first(latest), latest)  # of older days nothing counts, so they need not be read
    return await ask(services, org, report.sql_of_days(days, lambda _: columns), {})


def movers(rows: Sequence[Row], currency: str, latest: date | None, *, longest: int) -> list[Mover]:
    """Return what changed in one currency; names over `longest` characters have no address."""
    if latest is None:
        return []
    return [_mover(row, latest, longest) for row in rows if row["currency"] == currency and row["change"]]


def _mover(row: Row, latest: date, longest: int) -> Mover:
    names = {name: str(row[name] or "") for name in _NAMES}
    missing = [name for name in _NAMES if not names[name]]
    query = {"from": str(_first(latest)), "to": str(latest), "currency": str(row["currency"])}
    query |= {name: text for name, text in names.items() if text} | ({"without": missing[0]} if missing else {})
    has_address = max(map(len, names.values())) <= longest and len(missing) < 2
    return Mover(
        name=names["model"] or names["service"],
        about=" · ".join(names[name] for name in ("provider", "service") if names[name]),
        billed=row["billed"],
        previous=row["previous"],
        change=row["change"],
        query=query if has_address else None,
    )


def _first(latest: date) -> date:
    return latest - timedelta(days=COMPARED_DAYS - 1)
