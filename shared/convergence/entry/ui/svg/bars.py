"""A chart of stacked bars, one a day or a week; money stays exact until it becomes pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

_TOP: Final = 6.0
_BASE: Final = 206.0  # pixels; the days are below
_LINES: Final = 5
_LABELS_MAX: Final = 14
_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Piece:
    """One series' part of a bar. `series` counts from 1; 0 is the rest."""

    series: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A day: percent of the width, its pieces from below, its total."""

    day: date
    x: float
    width: float
    middle: float
    pieces: Sequence[Piece]
    total: Decimal
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the grid with its amount."""

    y: float
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Chart:
    """The whole drawing. `series` are the names in stack order."""

    bars: Sequence[Bar]
    lines: Sequence[Line]
    series: Sequence[str]
    highest: Bar | None
    lowest: Bar | None
    negative: bool  # credits outweigh charges on some day; such a bar is not drawn


def stacked(
    days: Sequence[date], series: Sequence[tuple[str, Mapping[date, Decimal]]], *, with_month: bool = False
) -> Chart:
    """Return the chart. Negative parts (credits) are not drawn; the day's total, which is, includes them in words.

    `with_month`: each label has its month, as bars may be weeks that are named by their first days.
    """
    drawn = [sum((max(values.get(day, _ZERO), _ZERO) for _, values in series), _ZERO) for day in days]
    top = _nice(max(drawn, default=_ZERO))
    share = 100 / max(1, len(days))
    every = -(-len(days) // _LABELS_MAX)
    bars = [
        _bar(day, at, share, series, top, label=_label(day, whole=with_month or at == 0) if at % every == 0 else "")
        for at, day in enumerate(days)
    ]
    lines = [Line(_BASE - (_BASE - _TOP) * n / _LINES, top * n / _LINES) for n in range(_LINES + 1)]
    totals = sorted((bar for bar in bars if bar.total), key=lambda bar: bar.total)
    return Chart(
        bars,
        lines,
        [name for name, _ in series],
        totals[-1] if totals else None,
        totals[0] if totals else None,
        any(bar.total < 0 for bar in bars),
    )


def _bar(
    day: date,
    at: int,
    share: float,
    series: Sequence[tuple[str, Mapping[date, Decimal]]],
    top: Decimal,
    *,
    label: str,
) -> Bar:
    pieces: list[Piece] = []
    y = _BASE - 1
    for place, (name, values) in enumerate(series):
        value = values.get(day, _ZERO)
        if value > 0 and top:
            height = float(value / top) * (_BASE - _TOP)
            y -= height
            pieces.append(
                Piece(0 if name == "Other" and place == len(series) - 1 else place + 1, round(y, 1), round(height, 1))
            )
    x = share * at + share * 0.12
    total = sum((values.get(day, _ZERO) for _, values in series), _ZERO)
    return Bar(day, round(x, 2), round(share * 0.76, 2), round(x + share * 0.38, 2), pieces, total, label)


def _label(day: date, *, whole: bool) -> str:
    return day.strftime("%-d %b" if whole or day.day == 1 else "%-d")


def _nice(value: Decimal) -> Decimal:
    """Return the next 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 0:
        return Decimal(1)
    power = Decimal(10) ** value.adjusted()
    return next(power * Decimal(step) for step in ("1", "2", "2.5", "5", "10") if power * Decimal(step) >= value)
