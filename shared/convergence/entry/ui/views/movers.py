"""What changed most from one week to the next, with the way to the charges behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from convergence.engine.daily_costs import COMPARED_DAYS, Row

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
