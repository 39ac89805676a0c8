"""Every error of the product, and who has to act on it.

    ConvergenceError
    ├── ConfigError            the author of a file (exit 2)
    │   └── ConfigErrors       all mistakes of one or more files at once
    ├── InvalidInput           the caller: a parameter, an argument
    │   └── IntegrationInactive    the caller: set the integration up first
    ├── NotFound               the caller: the name does not exist (or is not theirs)
    ├── Unauthenticated        the caller: no key, or an unknown one
    ├── Denied                 the caller: the key does not allow it
    ├── Conflict               the caller: another write came first; read again
    ├── QuotaExceeded          the caller: wait or raise the plan
    ├── RateLimited            the caller: slow down
    ├── StepFailed             the owner of the pipeline: final, becomes a dead letter
    │   ├── CredentialRejected     renew the credential
    │   ├── SchemaMismatch         the data does not fit the table
    │   ├── AppliedBefore          a write took effect with a different input: keep it, or write again
    │   ├── PartlyCommitted        a procedure failed after a COMMIT of its own: look at its tables first
    │   ├── NotDeterministic       a repeated step wrote something different
    │   ├── PeriodClosed           it would change charges of a closed billing period
    │   └── LeaseLost              the engine drops this execution: another owns the step
    ├── Transient              no action: the engine retries
    │   ├── Throttled              the other side asked for a wait
    │   └── StillRunning           a job continues; ask again under its id
    ├── StorageLocked          the operator: another process holds the data directory
    ├── StorageUnusable        the operator: the data directory cannot be read or written
    └── CloudSetup             the operator: the cloud project lacks something
        └── PermissionMissing      grant the permission that the message names

Edges (CLI, API, push endpoint) read `code`, `retryable`, `http_status` and `exit_code`; they never look at
the type. A message states where, what and what to do next; it contains no secret and no other tenant's name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final


class ConvergenceError(Exception):
    """Base of all errors that users see."""

    code: ClassVar[str] = "internal"  # public and stable; the wording of messages may improve
    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1


class ConfigError(ConvergenceError):
    """One mistake in a file. `where` is `file:line` or `file:line:column`, relative to the configs folder."""

    code = "config.invalid"
    http_status = 422
    exit_code = 2

    def __init__(self, message: str, *, where: str = "", path: str = "") -> None:
        self.message, self.where, self.path = message, where, path
        super().__init__(": ".join(part for part in (where, path, message) if part))


FINDINGS_MAX: Final = 20  # reported at once: more do not help an author, and a stranger could provoke megabytes of them


WARNINGS_MAX: Final = 300  # of one kind in a file; people see the first, with the places of some others


class ConfigErrors(ConfigError):
    """All mistakes that were found, so that an author can fix them in one go; at most FINDINGS_MAX are listed."""

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        reported = tuple(problems)
        if len(reported) > FINDINGS_MAX:
            reported = (*reported[:FINDINGS_MAX], ConfigError("there are more mistakes: correct these first"))
        self.problems = reported
        Exception.__init__(self, "\n".join(str(problem) for problem in reported))
        self.message, self.where, self.path = str(self), "", ""


class InvalidInput(ConvergenceError):
    """A parameter or argument is refused before anything is stored."""

    code = "input.invalid"
    http_status = 422
    exit_code = 2


class IntegrationInactive(InvalidInput):
    """The run needs a provider's credential, and the org does not have a valid one."""

    code = "integration.inactive"


class NotFound(ConvergenceError):
    """The named thing does not exist, or belongs to another org."""

    code = "not_found"
    http_status = 404
    exit_code = 2


class Unauthenticated(ConvergenceError):
    """The key is missing or not valid. The message does not reveal which."""

    code = "unauthenticated"
    http_status = 401


class Denied(ConvergenceError):
    """The caller's key does not allow this."""

    code = "denied"
    http_status = 403


class Conflict(ConvergenceError):
    """A precondition did not hold: another writer came first. Read everything again, then decide again."""

    code = "conflict"
    http_status = 409


class QuotaExceeded(ConvergenceError):
    """The org has used up a limit of its plan. `retry_after_s`: when the limit is lifted, if known."""

    code = "quota.exceeded"
    http_status = 429

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class RateLimited(ConvergenceError):
    """Too many requests; come back in `retry_after_s` seconds."""

    code = "rate_limited"
    http_status = 429

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class StepFailed(ConvergenceError):
    """Final: repeating the step does not help until its cause is fixed."""

    code = "step.failed"
    http_status = 422


class CredentialRejected(StepFailed):
    """The provider refuses the credential (401 or 403). Renew it, then replay."""

    code = "credential.rejected"


class PageNotFound(StepFailed):
    """The provider does not know the address (404)."""


class SchemaMismatch(StepFailed):
    """A value does not fit its column; the message names column and row (counted from 1)."""

    code = "schema.mismatch"


class AppliedBefore(StepFailed):
    """A write already took effect, with an input that differs from today's."""

    code = "step.applied_before"


class PartlyCommitted(StepFailed):
    """A procedure with transactions of its own failed after one of them was committed; it is not repeated by itself."""

    code = "step.partly_committed"


class NotDeterministic(StepFailed):
    """With the same input the step now writes another table, or another statement, than the write that took effect."""

    code = "step.not_deterministic"


class PeriodClosed(StepFailed):
    """The run would change charges of a billing period that is closed; nothing was changed."""

    code = "period.closed"


class LeaseLost(StepFailed):
    """This execution no longer owns its step; its effects must not count."""

    code = "step.lease_lost"


class Transient(ConvergenceError):
    """May pass by itself: a 5xx, a broken connection, a lock. The engine retries by the step's policy."""

    code = "transient"
    retryable = True
    http_status = 503


class StorageFault(Transient):
    """This machine's storage does not work for now: its disk is full, say. No step is to blame, and none pays for it
    with an attempt."""


class Throttled(Transient):
    """The other side asked to wait `retry_after_s` seconds."""

    code = "throttled"
    http_status = 429

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class StillRunning(Transient):
    """A warehouse job did not end within its caller's wait. It continues: ask again under its id."""

    code = "job.running"


class StorageLocked(ConvergenceError):
    """Another process writes to this data directory; the message says which."""

    code = "storage.locked"
    http_status = 503
    exit_code = 4


class StorageUnusable(ConvergenceError):
    """The data directory cannot be read or written, or its contents are damaged; the message says what to do."""

    code = "storage.unusable"
    http_status = 503


class CloudSetup(ConvergenceError):
    """The cloud project lacks something: an identity, a database, an index. Final until an operator adds it."""

    code = "cloud.setup"


class PermissionMissing(CloudSetup):
    """The product's own identity may not do this; the message names permission and resource as the cloud does."""

    code = "cloud.permission"


def did_you_mean(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """Return ` Did you mean 'a' or 'b'?`, or list the known names if none is close; empty if there are none."""
    names = sorted(set(known))
    near = near_names(name, names, most=most)
    if near or not names:
        return near
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f" Use one of: {shown}."


def near_names(name: str, known: Iterable[str], *, most: int = 3, cutoff: float = 0.6) -> str:
    """Return ` Did you mean 'a' or 'b'?`, or nothing if none is close; for names too many to list.

    `cutoff` is the least similarity, from 0 to 1.
    """
    close = difflib.get_close_matches(name, sorted(set(known)), n=most, cutoff=cutoff)
    return " Did you mean " + " or ".join(repr(match) for match in close) + "?" if close else ""
