"""BigQuery's errors of failed jobs, translated into ours.

Reasons are those of "Error messages" (BigQuery documentation); the texts of wrong statements are GoogleSQL's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from convergence.errors import CloudSetup, ConvergenceError, PermissionMissing, StepFailed, Transient, did_you_mean

_BUSY: Final = frozenset(
    {
        "backendError",
        "internalError",
        "jobBackendError",
        "jobInternalError",
        "jobRateLimitExceeded",
        "quotaExceeded",
        "rateLimitExceeded",
        "stopped",
        "tableUnavailable",
        "timeout",
    }
)
# Another transaction changed the same rows, or too many DML statements are queued.
_CONFLICT: Final = re.compile(
    r"due to concurrent update|could not serialize|transaction conflict"
    r"|Too many DML statements|aborted due to|Conflict on",
    re.IGNORECASE,
)
_OURS: Final = "convergence: "  # begins the message of a RAISE that this adapter wrote
_COLUMN: Final = re.compile(
    r"Unrecognized name: `?(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)"
    r"|Name ([A-Za-z_]\w*) not found inside"
    r"|Column ([A-Za-z_]\w*) (?:is not present|in (?:SELECT \* )?EXCEPT list)"
    r"|Column not found: ([A-Za-z_]\w*)|does not have a column named `?([A-Za-z_]\w*)"
)
_TABLE: Final = re.compile(
    r"Table(?: or view)? \"?(?:[\w-]+[:.])?(\w+)\.([\w*]+)\"? (?:was|not found)"
    r"|Table not found: (?:(\w+)\.)?(\w+)"
)


def busy(error: Exception) -> str | None:
    """Return the reason when an HTTP error only means "later", None otherwise."""
    for each in getattr(error, "errors", None) or ():
        reason = each.get("reason") if isinstance(each, Mapping) else None
        if reason in _BUSY:
            return str(reason)
    return None


def job_error(result: Mapping[str, Any], *, what: str) -> ConvergenceError:
    """Return the error of a job that ended with `errorResult`."""
    reason, message = str(result.get("reason", "")), str(result.get("message", ""))
    if _OURS in message:
        return StepFailed(message.partition(_OURS)[2].partition(" at [")[0])
    if reason in _BUSY or _CONFLICT.search(message):
        return Transient(f"waiting for BigQuery ({what}): {message or reason}")
    if reason == "accessDenied":
        return PermissionMissing(f"BigQuery: {what} is not allowed. Grant what Google names: {message}")
    if reason in {"billingNotEnabled", "billingTierLimitExceeded"}:
        return CloudSetup(f"BigQuery: {what}: {message}")
    if reason == "bytesBilledLimitExceeded" or "limit for bytes billed" in message:
        return StepFailed(f"{message} Select fewer columns or dates, or raise the limit.")
    return StepFailed(message)


def missing_column(message: str, columns: Iterable[str]) -> str | None:
    """Return the message about a column that does not exist, with the nearest of `columns`."""
    found = _COLUMN.search(message)
    if found is None:
        return None
    name = next(group for group in found.groups() if group)
    return f"There is no column {name!r}.{did_you_mean(name, columns)}"


def missing_table(message: str) -> tuple[str, str] | None:
    """Return (dataset, name) of the table that a message misses."""
    found = _TABLE.search(message)
    if found is None:
        return None
    return (found[1] or found[3] or "", found[2] or found[4])
