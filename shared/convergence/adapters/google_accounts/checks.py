"""What all adapters of `Accounts` check: the key, the addresses in it, and what a refusal means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from convergence.domain.addresses import LOOPBACK
from convergence.errors import CloudSetup, ConvergenceError, CredentialRejected, StepFailed

if TYPE_CHECKING:
    import httpx

TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
BIGQUERY_URL: Final = "https://bigquery.googleapis.com/bigquery/v2"
# A query is a job, and jobs ask for this scope (BigQuery REST API v2, jobs.query and jobs.insert); roles narrow it.
BIGQUERY_SCOPE: Final = "https://www.googleapis.com/auth/bigquery"
ROLES: Final = "Give the service account the roles BigQuery Job User and, on the tables, Data Viewer; then replay."
# Hosts whose answers are Google's own; other names below googleapis.com also serve files that any user uploaded.
_LABELS: Final = r"(?:\.[a-z0-9-]{1,63}){0,2}"  # a region and a kind of endpoint, as in .us-east1.rep
_TOKEN_HOSTS: Final = re.compile(rf"(?:accounts\.google|www\.googleapis|oauth2{_LABELS}\.googleapis)\.com")
_BIGQUERY_HOSTS: Final = re.compile(
    rf"(?:bigquery|bigquery-[a-z0-9-]{{1,50}}|[a-z0-9-]{{1,50}}-bigquery){_LABELS}\.googleapis\.com"
)


@dataclass(frozen=True, slots=True, repr=False)
class ServiceKey:
    """What is used of a service account's key; everything else in its file is ignored. Never shown."""

    email: str
    private_key: str
    private_key_id: str
    project: str
    token_uri: str


def read_key(secret: str, *, here: bool) -> ServiceKey:
    """Return the key in `secret`; `here`: it may lead to this machine. Raises `StepFailed`, which quotes nothing."""
    try:
        key: dict[str, Any] = orjson.loads(secret)
        email, private = str(key["client_email"]), str(key["private_key"])
    except (ValueError, KeyError, TypeError):
        raise StepFailed("Google: the credential is not a JSON key of a service account; store one") from None
    token_uri = str(key.get("token_uri") or TOKEN_URI)
    _checked(token_uri, "the key's token_uri", _TOKEN_HOSTS, here=here)
    named = {name: str(key.get(name) or "") for name in ("private_key_id", "project_id")}
    return ServiceKey(email, private, named["private_key_id"], named["project_id"], token_uri)


def bigquery_address(text: str, *, here: bool) -> httpx.URL:
    """Return an address that a token may be sent to: BigQuery's, and with `here` this machine's.

    Raises `StepFailed`.
    """
    return _checked(text, "the address of BigQuery", _BIGQUERY_HOSTS, here=here)


def _checked(text: str, what: str, hosts: re.Pattern[str], *, here: bool) -> httpx.URL:
    from convergence.ports.http.urls import checked_url

    url = checked_url(text, "Google")
    if url.host in LOOPBACK and here:
        return url
    if url.scheme == "https" and url.port in {None, 443} and hosts.fullmatch(url.host):
        return url
    raise StepFailed(f"Google: {what} leads to {url.host!r}, which is not Google's service for it")


def job_project(key: ServiceKey, project: str) -> str:
    """Return where queries run. Raises `StepFailed` when neither the step nor the key names it."""
    found = project or key.project
    if not found:
        raise StepFailed("the key has no project_id: set config.project, the project to query")
    return found


def no_private_key() -> StepFailed:
    """Return the error of a key whose private_key cannot be read."""
    return StepFailed("Google: the private_key of the service account cannot be read; store the whole JSON key")


def token_refused(message: str) -> ConvergenceError:
    """Return what a refusal by the token service means; `message` is its error and description, and is not repeated."""
    words = message.lower()
    if "timeframe" in words:
        return CloudSetup("Google (token): the clock of this machine is wrong: set it, then replay")
    for sign, advice in _REFUSALS:
        if sign in words:
            return CredentialRejected(f"Google (token) refuses the service account: {advice}, then replay")
    return CredentialRejected("Google (token) refuses the service account: store a new key, then replay")


_REFUSALS: Final = (
    ("disabled", "it is disabled: enable it, or store a key of another one"),
    ("not found", "it no longer exists: store a key of another one"),
    ("signature", "this key was deleted or disabled: store a new key"),
    ("scope", "it may not request this scope: store a key of an account that may"),
)
