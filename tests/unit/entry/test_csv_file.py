"""CSV files that an operator names: what spreadsheets write is read, the rest refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.entry.cli.csv_file import csv_text
from convergence.errors import InvalidInput


def test_the_byte_order_mark_of_a_spreadsheet_is_not_part_of_the_first_name(tmp_path: Path) -> None:
    file = tmp_path / "plans.csv"
    file.write_bytes("name\nZoë\n".encode("utf-8-sig"))
    assert csv_text(file, 100) == "name\nZoë\n"


def test_a_file_that_is_too_large_or_not_utf_8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "plans.csv"
    file.write_bytes(b"name\nZo\xeb\n")
    with pytest.raises(InvalidInput, match="not UTF-8 at byte 7"):
        csv_text(file, 100)
    with pytest.raises(InvalidInput, match="more than 8 bytes"):
        csv_text(file, 8)
