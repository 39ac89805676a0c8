"""Names that templates may use besides the file's own variables and parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

# Set by the engine for every run, with their GoogleSQL types.
BUILT_INS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            *("org_slug", "tenant_id", "env", "environment", "project_id", "gcp_project_id", "project"),
            *("org_dataset", "dataset", "pipeline_id", "pipeline", "run_id", "provider", "domain", "credential_id"),
            *("year", "month", "day"),
        ),
        "STRING",
    ),
    **dict.fromkeys(
        ("date", "run_date", "pipeline_run_date", "yesterday", "start_date", "end_date", "fire_date"), "DATE"
    ),
    "start_ts": "TIMESTAMP",
    "end_ts": "TIMESTAMP",
}

# Declared for every pipeline.
IMPLICIT_PARAMETERS: Final[Mapping[str, str]] = {
    "date": "date",
    "start_date": "date",
    "end_date": "date",
    "credential_id": "string",
    "force_refresh": "boolean",
}

# How a run ended: known only to end steps, when they start.
ENDING: Final = frozenset(
    {
        *("status", "error", "error_message", "error_code", "failed_step", "failed_steps", "started_at", "finished_at"),
        *("execution_timestamp", "duration_seconds", "records_processed", "trigger_by"),
    }
)

# Metadata of the org and its integrations. A missing one fails the step that needs it, not the dispatch.
_PROFILE = re.compile(
    r"(aws|azure|gcp|oci|billing|admin|company|contact|integration|profile)[_.]\w.*"
    r"|org_(name|email|id|currency|timezone|locale)|\w+_export_table|committed_use_discount_table|to_emails?"
)

ROOTS: Final = frozenset({"parameters", "variables", "results", "secrets"})


def is_profile(name: str) -> bool:
    """True for a name that the org's profile may give."""
    return name not in BUILT_INS and _PROFILE.fullmatch(name) is not None


def slip(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is one typing error away: two characters swapped, one too many or too few, or
    (in names of eight characters and more) one wrong. A plural and another number do not count as slips.
    """
    return next((other for other in sorted(known) if _one_apart(name, other)), None)


def _one_apart(a: str, b: str) -> bool:
    short, long = sorted((a, b), key=len)
    if a == b or len(short) < 4 or len(long) > len(short) + 1 or short + "s" == long:
        return False
    at = next(
        (index for index, (left, right) in enumerate(zip(short, long, strict=False)) if left != right), len(short)
    )
    if len(short) < len(long):
        return short[at:] == long[at + 1 :] and not long[at].isdigit()
    if short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]:
        return True
    return len(short) >= 8 and short[at + 1 :] == long[at + 1 :] and not (short[at] + long[at]).isdigit()
