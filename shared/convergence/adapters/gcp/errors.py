"""The one table from Google's errors to ours.

Google's libraries retry on their own, with totals that outlive a function; every call here switches that off,
names its own timeout and is repeated by `convergence.adapters.retry`.
Codes: https://cloud.google.com/apis/design/errors#handling_errors.
"""

from __future__ import annotations

from typing import Final

from google.api_core import exceptions as google
from google.auth import exceptions as auth

from convergence.errors import (
    CloudSetup,
    Conflict,
    ConvergenceError,
    InvalidInput,
    NotFound,
    PermissionMissing,
    Transient,
)

VENDOR: Final = (google.GoogleAPIError, auth.GoogleAuthError)  # what an adapter catches

_PRECONDITIONS: Final = (
    google.Conflict,  # AlreadyExists; Aborted is caught before
    google.FailedPrecondition,
    google.PreconditionFailed,
    google.NotFound,
)
_AGAIN: Final = (
    google.ServerError,  # Unavailable, DeadlineExceeded, Internal, Unknown, DataLoss, BadGateway
    google.Aborted,
    google.TooManyRequests,  # ResourceExhausted
    google.Cancelled,
    google.RetryError,
)
# The server says that it did nothing; after any other failure the call may have been applied.
_UNAPPLIED: Final = (google.Aborted, google.TooManyRequests)


def translated(error: Exception, *, service: str, doing: str, preconditions: bool = False) -> ConvergenceError:
    """Return our error for one of Google's (`VENDOR`).

    Args:
        error: What the client library raised.
        service: The service as its users call it, such as `Firestore`.
        doing: What was requested, without any value that may be secret: `commit of runs/r1`.
        preconditions: The call carried preconditions, so "exists already", "not found" and "failed precondition"
            mean that another writer was first.
    """
    if isinstance(error, auth.GoogleAuthError):
        return _signed_out(error, service, doing)
    message = str(getattr(error, "message", "") or error)
    if isinstance(error, google.Forbidden):
        return PermissionMissing(f"{service}: {doing} is not allowed. Grant what Google names: {message}")
    if isinstance(error, google.Unauthorized):
        return CloudSetup(
            f"{service}: Google does not accept this identity ({doing}). Check the service account and"
            f" the machine's clock. Google says: {message}"
        )
    if isinstance(error, google.MethodNotImplemented):
        return CloudSetup(f"{service}: {doing} is not supported there. Check the endpoint. Google says: {message}")
    if isinstance(error, _AGAIN):
        return Transient(f"waiting for {service} ({doing}): {_name(error)}: {message}")
    if message.startswith("The database "):  # a NOT_FOUND that is not about a document
        return CloudSetup(f"{service}: {message}")
    if preconditions and isinstance(error, _PRECONDITIONS):
        return Conflict(f"{doing}: another writer was first; read again")
    if isinstance(error, google.NotFound):
        return NotFound(f"{service}: {doing}: {message}")
    if isinstance(error, google.Conflict):
        return Conflict(f"{service}: {doing}: {message}")
    if isinstance(error, google.FailedPrecondition | google.PreconditionFailed):
        return CloudSetup(f"{service}: {doing}: {message}")  # such as a query without its index
    if isinstance(error, google.ClientError):
        return InvalidInput(f"{service} refuses {doing}: {message}")
    return Transient(f"waiting for {service} ({doing}): {_name(error)}: {message}")


def _signed_out(error: auth.GoogleAuthError, service: str, doing: str) -> ConvergenceError:
    if _passes(error):
        return Transient(f"{service}: waiting for Google's sign-in ({doing}): {error}")
    return CloudSetup(
        f"{service}: no identity for Google Cloud ({doing}). Run under a service account, or sign in with:"
        f" gcloud auth application-default login. Google says: {error}"
    )


def _passes(error: BaseException | None) -> bool:
    """Return whether a sign-in may succeed later. The libraries mark few errors so; an unanswered request is another.

    A `TransportError` that carries an answer is none of these: the other side answered, and refused.
    """
    while error is not None:
        if isinstance(error, auth.GoogleAuthError) and error.retryable:
            return True
        if isinstance(error, auth.TimeoutError) or (isinstance(error, auth.TransportError) and len(error.args) == 1):
            return True
        error = error.__cause__
    return False


def unapplied(error: Exception) -> bool:
    """Return whether it is certain that a failed call changed nothing."""
    return isinstance(error, _UNAPPLIED)


def breaks_channel(error: Exception) -> bool:
    """Return whether the channel itself may have failed: no connection, or no answer in time."""
    return isinstance(error, google.ServiceUnavailable | google.DeadlineExceeded)


def _name(error: Exception) -> str:
    status = getattr(error, "grpc_status_code", None)
    return type(error).__name__ if status is None else str(status.name)
