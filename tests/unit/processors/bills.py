"""Sample files of bills, read independently, and what was charged for them."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
from collections.abc import Callable, Coroutine, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.unit.processors.installation import ORG, Here, installed

FILES = Path(__file__).parent / "bill_files"


def running(folder: Path, work: Callable[[Here], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with installed(folder) as here:
            await work(here)

    asyncio.run(main())


def put(folder: Path, name: str, data: bytes) -> None:
    """Upload a file for the org."""
    path = folder / "files" / ORG / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def total(rows: Iterable[dict[str, str]], column: str) -> Decimal:
    """Return the sum of a column of a file, read by itself."""
    return sum((Decimal(row[column]) for row in rows if row[column] not in {"", "NULL"}), Decimal(0))


def read(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(raw(name).decode("utf-8-sig"), newline="")))


def raw(name: str) -> bytes:
    """Return a sample file, decompressed."""
    packed = FILES / f"{name}.gz"
    return gzip.decompress(packed.read_bytes()) if packed.exists() else (FILES / name).read_bytes()


async def charges(here: Here, columns: str, more: str = "") -> list[tuple[Any, ...]]:
    rows = await here.rows(f"SELECT {columns} FROM cost_data_standard_1_3 {more}")
    return [tuple(row.values()) for row in rows]
