"""Where a call may go: no private address behind a public name, no plain HTTP with a credential."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, Literal

import httpx

from convergence.errors import StepFailed

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

# What may be called besides public addresses: nothing, this machine under its plain names, or private networks too.
Reach = Literal["public", "loopback", "private"]
DEFAULT_REACH: Final[Reach] = "loopback"

# Machines' metadata beside 169.254.169.254, which is link-local: AWS by IPv6, Azure's wire server, Alibaba Cloud.
NEVER: Final = frozenset(map(ip_address, ("fd00:ec2::254", "168.63.129.16", "100.100.100.200")))
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")


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


def check_addresses(host: str, addresses: Iterable[str], reach: Reach) -> None:
    """Refuse the host when any of its addresses is out of reach; called with those that will be connected to.

    Raises `StepFailed`.
    """
    for address in addresses:
        parsed = real_address(address)
        if parsed in NEVER or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast:
            raise StepFailed(f"the host {host!r} has the address {address}, where no API is: nothing calls it")
        if reach == "private" or (reach == "loopback" and host in LOOPBACK and parsed.is_loopback):
            continue
        if not parsed.is_global or parsed.is_reserved:
            raise StepFailed(
                f"the host {host!r} has a private address; to call it all the same, set"
                " config.allow_private_addresses: true"
            )


def real_address(address: str) -> IPv4Address | IPv6Address:
    """Return the address that packets go to: an IPv4 address inside an IPv6 one is itself.

    Mapped (RFC 4291, section 2.5.5.2), translated (RFC 6052, section 2.1) and 6to4 (RFC 3056, section 2) addresses.
    """
    parsed = ip_address(address.partition("%")[0])
    if not isinstance(parsed, IPv6Address):
        return parsed
    if parsed in _TRANSLATED:
        return IPv4Address(int(parsed) & 0xFFFF_FFFF)
    return parsed.ipv4_mapped or parsed.sixtofour or parsed
