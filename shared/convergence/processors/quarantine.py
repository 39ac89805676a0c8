"""Distinguish rows in `org_meta_quarantine_rows` by their content and a counter for equal rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import orjson

TABLE: Final = "org_meta_quarantine_rows"
# Values that change whenever the same row is loaded again.
_OF_A_LOAD: Final = frozenset({"x_run_id", "x_ingested_at", "x_ingestion_date"})


def digests(rows: Iterable[str]) -> Iterator[str]:
    """Yield a digest for each row of JSON text: the same in every run, another one for each of several equal rows."""
    seen = Counter[bytes]()
    for text in rows:
        message = {name: value for name, value in orjson.loads(text).items() if name not in _OF_A_LOAD}
        key = orjson.dumps(message, option=orjson.OPT_SORT_KEYS)
        yield hashlib.sha256(b"%b%d" % (key, seen[key])).hexdigest()
        seen[key] += 1
