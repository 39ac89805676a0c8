"""Where a call may go: no private address behind a public name, no plain HTTP with a credential."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv6Address, ip_address
from typing import Final, Literal

import httpx

from convergence.errors import StepFailed, Transient

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

# What may be called besides public addresses: nothing, this machine under its plain names, or private networks too.
Reach = Literal["public", "loopback", "private"]


def checked_url(text: str, service: str) -> httpx.URL:
    """Return the URL. Raises `StepFailed` for one that is none, or that would carry a credential in the clear."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise StepFailed(f"{service}: {text!r} is no URL") from error
    if url.userinfo:
        raise StepFailed(f"{service}: a URL holds no user and password; give them as auth: {{type: basic}}")
    if url.scheme != "https" and not (url.scheme == "http" and url.host in LOOPBACK):
        raise StepFailed(f"{service}: {text!r} must begin with https:// (a credential goes with every call)")
    return url


async def check_reach(url: httpx.URL, reach: Reach, service: str) -> None:
    """Resolve the host and refuse it when any of its addresses is out of reach.

    Raises:
        StepFailed: an address is private, loopback, link-local or reserved, and `reach` does not say so.
        Transient: the name cannot be resolved.
    """
    if reach == "private" or (reach == "loopback" and url.host in LOOPBACK):
        return
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Transient(f"{service}: the host {url.host!r} cannot be resolved") from error
    for entry in found:
        if not is_public(str(entry[4][0])):
            raise StepFailed(
                f"{service}: the host {url.host!r} has a private address; to call it all the same, set"
                " config.allow_private_addresses: true"
            )


def is_public(address: str) -> bool:
    """Whether an address is reachable from everywhere; an IPv4 address inside an IPv6 one counts as itself."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.is_global and not parsed.ipv4_mapped.is_multicast
    return parsed.is_global and not parsed.is_multicast
