"""What a refusal by AWS means, for calls that do not concern buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, Transient

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_REJECTED: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "InvalidClientTokenId", "ExpiredToken",
     "ExpiredTokenException", "InvalidAccessKeyId", "SignatureDoesNotMatch", "UnrecognizedClientException",
     "InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationToken", "NotAuthorized", "OptInRequired"}
)  # fmt: skip
_BUSY: Final = frozenset(
    {"LimitExceededException", "Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded",
     "TooManyRequestsException", "ServiceUnavailable", "InternalFailure", "InternalServiceFault", "RequestTimeout",
     # Cost Explorer, GetCostAndUsage: the data changed between two pages.
     "RequestChangedException"}
)  # fmt: skip


def call_error(error: ClientError, shown: str) -> ConvergenceError:
    """Return the product's error for AWS's, with what to do; the request and its signature are left out."""
    detail = error.response.get("Error", {})
    code, message = str(detail.get("Code", "")), str(detail.get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if error.operation_name == "AssumeRole" and status < 500 and code not in _BUSY:
        return CredentialRejected(
            f"AWS does not let this installation assume the role ({code}): check its ARN, and the external id in its"
            " trust policy"
        )
    if _skewed(code, message):
        return StepFailed(f"AWS ({shown}) rejects the signature as too old: correct the clock of this machine")
    if status >= 500 or status == 429 or code in _BUSY:
        return Transient(f"AWS ({shown}) is busy ({code})")
    if code in _REJECTED or status in {401, 403}:
        return CredentialRejected(
            f"AWS ({shown}) refuses the credential ({code}): its policy must allow the action, and a role or key may"
            " have expired"
        )
    return StepFailed(f"AWS ({shown}) refuses the request ({code}): {message[:300]}")


def _skewed(code: str, message: str) -> bool:
    """Of the services with JSON answers, a wrong clock is one of the reasons of InvalidSignatureException."""
    return code == "RequestTimeTooSkewed" or (
        code == "InvalidSignatureException" and ("Signature expired" in message or "not yet current" in message)
    )
