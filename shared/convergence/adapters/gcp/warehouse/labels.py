"""Labels of jobs: who caused them, for the bill. "Requirements for labels" (BigQuery): at most 63 signs, lower case."""

from __future__ import annotations

import re
from typing import Final

from convergence.ports.warehouse import Lineage

_LENGTH_MAX: Final = 63
_OTHER: Final = re.compile(r"[^a-z0-9_-]")


def label(text: str) -> str:
    """Return `text` as a label's value: lower case letters, digits, `_` and `-`; other signs become `-`."""
    return _OTHER.sub("-", text.lower())[:_LENGTH_MAX]


def lineage_labels(lineage: Lineage | None) -> dict[str, str]:
    """Return the labels of a job that a run caused; none without a run."""
    if lineage is None:
        return {}
    named = {"org": lineage.org_slug, "pipeline": lineage.pipeline_id, "run": lineage.run_id}
    return {name: label(value) for name, value in named.items()}
