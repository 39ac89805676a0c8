"""Google's documentation prints results as tables of text; here a cell is compared with a value by the value's type."""

from __future__ import annotations

import ast
import base64
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from zoneinfo import ZoneInfo

PRINTED_ZONE: Final = ZoneInfo("America/Los_Angeles")  # in which the documentation shows a TIMESTAMP
_BRACKETS: Final = {"[": "]", "{": "}", "(": ")"}


@dataclass(frozen=True, slots=True)
class Table:
    """What the documentation prints."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def order_of(sql: str, columns: Sequence[str]) -> Sequence[str] | None:
    """Return the columns that a query orders its result by: all of them where it orders by something else, None where
    it does not. Rows with equal values in them may come in any order."""
    words = re.split(r"\bORDER BY\b", sql.rpartition(")")[2])
    if len(words) < 2:
        return None
    names = [re.sub(r"(?i)\s+(asc|desc)\b", "", word).strip(" ;\n") for word in words[-1].split(",")]
    return names if {name.lower() for name in names} <= {name.lower() for name in columns} else columns


def same_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], printed: Table, *, ordered: Sequence[str] | None
) -> bool:
    """Whether a result is the one printed; its rows in any order, but for the columns that the query orders them by.

    The documentation leaves columns out at times, or changes their order: those that it prints are compared by name.
    """
    names = [name.lower() for name in columns]
    expected = [name.lower() for name in printed.columns]
    if len(rows) != len(printed.rows):
        return False
    if set(expected) <= set(names):
        places = [names.index(name) for name in expected]
    elif len(expected) == len(names):
        places = list(range(len(names)))
    else:
        return False
    picked = [[row[place] for place in places] for row in rows]
    keys = [expected.index(name.lower()) for name in ordered or ()]
    for row, cells in zip(picked, printed.rows, strict=True):
        if not _same_row([row[key] for key in keys], [cells[key] for key in keys]):
            return False
    left = list(printed.rows)
    for row in picked:
        found = next((cells for cells in left if _same_row(row, cells)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _same_row(row: Sequence[Any], cells: Sequence[str]) -> bool:
    return len(row) == len(cells) and all(same_value(value, cell) for value, cell in zip(row, cells, strict=True))


def same_value(value: Any, cell: str) -> bool:
    """Whether a value is what the cell says."""
    cell = cell.strip()
    if value is None:
        return cell.upper() == "NULL" or cell == ""
    if value == [] and cell == "NULL":
        return True  # BigQuery returns an empty array where ZetaSQL, whose documentation this is, shows NULL
    if isinstance(value, bool):
        return cell.lower() == str(value).lower()
    if isinstance(value, int | float | Decimal):
        return _same_number(value, cell)
    if isinstance(value, datetime):
        return _same_moment(value, cell)
    if isinstance(value, date | time):
        return value.isoformat() == cell.split(" ")[-1].strip("\"'")
    if isinstance(value, bytes):
        return _same_bytes(value, cell)
    if isinstance(value, list | dict):
        return _same_json(value, cell) or _same_parts(value, cell)
    return _same_text(str(value), cell)


def _same_number(value: float | Decimal, cell: str) -> bool:
    words = {"NaN": "nan", "+inf": "inf", "Infinity": "inf", "-Infinity": "-inf"}
    if isinstance(value, float) and not math.isfinite(value):
        return words.get(cell, cell) == str(value)
    try:
        printed = Decimal(cell.strip("\"'"))
    except InvalidOperation:
        return False
    if not printed.is_finite():
        return False
    if isinstance(value, float):  # the documentation cuts or rounds its floats
        places = -int(printed.as_tuple().exponent)
        return abs(Decimal(value) - printed) <= max(Decimal(1).scaleb(-places), abs(printed) * Decimal("1e-15"))
    return Decimal(value) == printed


def _same_moment(value: datetime, cell: str) -> bool:
    """Whether a DATETIME or TIMESTAMP is the one printed.

    Where a literal has no zone, the documentation reads it in Los Angeles and BigQuery in UTC: the clock is compared.
    """
    text = cell.strip("\"'")
    if len(text) == len("00:00:00") and text[2] == ":":
        return value.time().isoformat() == text
    zone: tzinfo = UTC
    for name in ("America/Los_Angeles", "UTC", "Asia/Tokyo"):
        if text.endswith(f" {name}"):
            zone, text = ZoneInfo(name), text.removesuffix(f" {name}")
    try:
        printed = datetime.fromisoformat(text)
    except ValueError:
        return False
    if value.tzinfo is None:
        return printed.replace(tzinfo=None) == value
    instant = (printed if printed.tzinfo else printed.replace(tzinfo=zone)).astimezone(UTC)
    return instant in {value.astimezone(UTC), value.replace(tzinfo=PRINTED_ZONE).astimezone(UTC)}


def _same_bytes(value: bytes, cell: str) -> bool:
    if cell[:2].lower() in {'b"', "b'"}:
        try:
            return bool(ast.literal_eval(cell) == value)
        except (SyntaxError, ValueError):
            return False
    try:
        raw = cell.encode().decode("unicode_escape").encode("latin-1")
    except UnicodeError:
        raw = b""
    return value in {cell.encode(), raw} or base64.b64encode(value).decode() == cell


def _same_json(value: Any, cell: str) -> bool:
    try:
        return bool(json.loads(cell) == value)
    except ValueError:
        return False


def _same_parts(value: list[Any] | dict[str, Any], cell: str) -> bool:
    if not cell or _BRACKETS.get(cell[0]) != cell[-1]:
        return False
    inner = cell[1:-1].strip()
    parts = split(inner) if inner else []
    values = list(value.values()) if isinstance(value, dict) else value
    if len(parts) != len(values):
        return False
    if isinstance(value, dict):
        parts = [part.partition(":")[2] if part.partition(":")[0].strip("\" '") in value else part for part in parts]
    return all(same_value(each, part) for each, part in zip(values, parts, strict=True))


def split(text: str) -> list[str]:
    """Split at commas outside of brackets and quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for position, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and text[position - 1] != "\\" else quote
        elif sign == '"' or (sign == "'" and (position == start or not text[position - 1].isalnum())):
            quote = sign
        elif sign in _BRACKETS:
            depth += 1
        elif sign in _BRACKETS.values():
            depth -= 1
        elif sign == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]


def _same_text(value: str, cell: str) -> bool:
    if value.strip("\0 ") == cell or value.strip() == cell or value.replace("\n", "\\n").strip() == cell:
        return True
    if len(cell) > 1 and cell[0] in "\"'" and cell[-1] == cell[0]:
        plain = cell[1:-1]
        return value in {plain, plain.replace('\\"', '"')} or value == cell
    if cell[:1] in "{[":
        try:
            return bool(json.loads(cell) == json.loads(value))
        except ValueError:
            return False
    return False
