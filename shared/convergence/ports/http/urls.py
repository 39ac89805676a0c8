"""The URLs that a call may go to: no plain HTTP with a credential, no user in the address."""

from __future__ import annotations

import httpx

from convergence.domain.addresses import LOOPBACK
from convergence.errors import StepFailed


def checked_url(text: str, service: str) -> httpx.URL:
    """Return the URL. Raises `StepFailed` for one that is not a URL, or that would carry a credential in the clear."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise StepFailed(f"{service}: {text!r} is not a URL") from error
    if url.userinfo:
        raise StepFailed(f"{service}: a URL must not contain a user and password; give them as auth: {{type: basic}}")
    if url.scheme != "https" and not (url.scheme == "http" and url.host in LOOPBACK):
        raise StepFailed(f"{service}: {text!r} must begin with https:// (a credential goes with every call)")
    return url
