"""Rows of a data set as a file: exact numbers, times to the second, and a record of what was left empty or rounded."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from convergence.domain.money import EXACT, exact_sum
from convergence.processors.focus.export.datasets import Field
from convergence.processors.focus.export.parquet import SCALE, ParquetFile

Format = Literal["csv", "parquet"]
_UNIT: Final = Decimal(1).scaleb(-SCALE)
SUMMED: Final = ("BilledCost", "EffectiveCost")


@dataclass(slots=True)
class Figures:
    """What a file holds: rows, sums by currency, rows without a value that FOCUS demands, what rounding changed."""

    rows: int = 0
    sums: dict[str, dict[str, Decimal]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Decimal)))
    unknown: Counter[str] = field(default_factory=Counter)
    rounded: Counter[str] = field(default_factory=Counter)
    differences: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    issuers: set[str] = field(default_factory=set)

    def total(self, column: str) -> Decimal:
        """Return the sum of a column over all currencies, as it is stored."""
        written = (sums.get(column, Decimal(0)) for sums in self.sums.values())
        return exact_sum((*written, -self.differences.get(column, Decimal(0))))


class DataFile:
    """A CSV or Parquet file that grows page by page; `figures` counts what was written."""

    def __init__(self, path: Path, fields: Sequence[Field], form: Format) -> None:
        self.path, self._fields, self._form, self.figures = path, fields, form, Figures()

    def __enter__(self) -> Self:
        self._file = self.path.open("wb")
        if self._form == "parquet":
            self._parquet = ParquetFile(self._file, self._fields)
            self._writerows: Callable[[Iterable[Sequence[str]]], None] = self._parquet.writerows
        else:
            self._text_file = io.TextIOWrapper(self._file, encoding="utf-8", newline="")
            writer = csv.writer(self._text_file, lineterminator="\n")
            writer.writerow([each.name for each in self._fields])
            self._writerows = writer.writerows
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._file:
            if self._form == "csv":
                self._text_file.close()
            elif kind is None:
                self._parquet.finish()

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows."""
        self._writerows([self._text(each, row.get(each.name)) for each in self._fields] for row in rows)
        self.figures.rows += len(rows)
        for row in rows:
            self.figures.issuers.add(str(row.get("InvoiceIssuerName") or ""))
            sums = self.figures.sums[str(row.get("BillingCurrency") or "")]
            for name in SUMMED:
                if row.get(name) is not None:
                    sums[name] = EXACT.add(sums[name], _quantized(row[name]))

    def _text(self, column: Field, value: Any) -> str:
        if value is None or value == "":  # FOCUS has null for an empty value
            if column.needed:
                self.figures.unknown[column.name] += 1
            return ""
        if column.kind == "DECIMAL":
            return self._number(column.name, Decimal(value))
        return _plain(value)

    def _number(self, name: str, value: Decimal) -> str:
        written = _quantized(value)
        if written != value:
            self.figures.rounded[name] += 1
            self.figures.differences[name] = EXACT.add(self.figures.differences[name], EXACT.subtract(written, value))
        return number(written)


def number(value: Decimal) -> str:
    """Return every digit, without zeros at the end and without an exponent."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def to_second(at: datetime) -> str:
    """Return a time as FOCUS writes it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return to_second(value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def _quantized(value: Decimal) -> Decimal:
    places = value.as_tuple().exponent
    return value if isinstance(places, int) and places >= -SCALE else value.quantize(_UNIT, context=EXACT)
