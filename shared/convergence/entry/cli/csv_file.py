"""A CSV file that an operator names on the command line."""

from __future__ import annotations

from pathlib import Path

from convergence.errors import InvalidInput


def csv_text(file: Path, bytes_max: int) -> str:
    """Return the file's text, without the byte order mark that spreadsheets write.

    Raises `InvalidInput` for one that is larger, or is not UTF-8.
    """
    if file.stat().st_size > bytes_max:
        raise InvalidInput(f"{file} has more than {bytes_max:,} bytes")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file}: not UTF-8 at byte {error.start}") from error
