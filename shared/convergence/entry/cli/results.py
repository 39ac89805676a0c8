"""Rows of a query as people and programs read them: a table, one value per line, CSV, JSON."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from convergence.entry.cli.output import Output, cell, one_line
from convergence.ports.warehouse import QueryResult

_GAP: Final = 2


def show(out: Output, result: QueryResult, form: str) -> None:
    """Print rows in the form `table`, `vertical`, `csv` or `json`."""
    match form:
        case "json":
            out.data({"columns": result.columns, "rows": result.rows})
        case "csv":
            write_csv(out, result)
        case "vertical":
            _vertical(out, result)
        case _ if result.columns:
            _table(out, result)


def write_csv(out: Output, result: QueryResult) -> None:
    """Print CSV as RFC 4180 has it, but with the line ends of this system."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(result.columns)
    writer.writerows([_csv_cell(row[name]) for name in result.columns] for row in result.rows)
    out.rows(text.getvalue().rstrip("\n"))


def _csv_cell(value: Any) -> str:
    """Return a value as CSV has it: times in UTC, with their fraction where they have one, as FOCUS has none."""
    if isinstance(value, datetime):
        at = value.astimezone(UTC)
        return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if at.microsecond else "%Y-%m-%dT%H:%M:%SZ")
    return one_line(value)


def _vertical(out: Output, result: QueryResult) -> None:
    """Print each row as lines of column and value: for rows that are wider than a terminal."""
    width = max(map(len, result.columns), default=0)
    for number, row in enumerate(result.rows, 1):
        out.line(f"row {number}")
        for name in result.columns:
            out.wrapped(f"{name:<{width}}  {cell(row[name])}")


def _table(out: Output, result: QueryResult) -> None:
    rows = [[cell(row[name]) for name in result.columns] for row in result.rows]
    numbers = {
        index
        for index, name in enumerate(result.columns)
        if rows and all(isinstance(row[name], int | float | Decimal) for row in result.rows)
    }
    out.table(result.columns, rows, right=numbers, fold=False)
    widths = [max(map(len, column)) for column in zip(result.columns, *rows, strict=True)]
    if sys.stdout.isatty() and sum(widths) + _GAP * (len(widths) - 1) > shutil.get_terminal_size().columns:
        out.note("the rows are wider than this terminal; --output vertical shows one value per line")
