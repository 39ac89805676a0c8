"""Sample files of bills, read independently, and what was charged for them."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import shutil
from collections.abc import Callable, Coroutine, Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from tests.unit.processors.installation import CONFIGS, ORG, Here, installed

FILES = Path(__file__).parent / "bill_files"


def running(folder: Path, work: Callable[[Here], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with installed(folder) as here:
            await work(here)

    asyncio.run(main())


def with_address(folder: Path, name: str, url: str) -> Path:
    """Return the configs of an installation for which the provider `name` is at `url`."""
    configs = folder / "configs"
    shutil.copytree(CONFIGS, configs)
    registry = configs / "system/providers.yml"
    line = f"    display_name: {name}\n"
    assert line in registry.read_text()
    registry.write_text(registry.read_text().replace(line, f"{line}    api_base_url: {url}\n"))
    return configs


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


def passes(results: Mapping[str, Any], rows: int) -> None:
    """Check that the gate publishes all charges, of which only list and contracted costs are not known at all."""
    gate = results["validate_focus"]
    assert (gate["rows_processed"], gate["rows_written"], gate["focus"]["verdict"]) == (rows, rows, "warned")
    costs = {f"CAU-{name}-C-00{number}-M" for name in ("ContractedCost", "ListCost") for number in (3, 4)}
    assert set(gate["focus"]["waived"]) == costs


def rounded(rows: list[dict[str, str]], column: str) -> Decimal:
    """Return the sum of a column of which 18 digits behind the point are kept."""
    digits = Decimal(1).scaleb(-18)
    return sum((Decimal(row[column]).quantize(digits, ROUND_HALF_UP) for row in rows), Decimal(0))
