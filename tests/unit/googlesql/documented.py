"""The rows of the tables in docs/googlesql.md."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "googlesql.md"
ROW = re.compile(r"^\| (`+) ?(?P<sql>.+?) ?\1 \| `(?P<result>.+?)` \| ")


def rows_of_the_page() -> list[tuple[str, str]]:
    rows = (ROW.match(line) for line in PAGE.read_text(encoding="utf-8").splitlines())
    return [(row["sql"].replace("\\|", "|"), row["result"].replace("\\|", "|")) for row in rows if row]
