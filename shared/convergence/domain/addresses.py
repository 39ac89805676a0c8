"""Rules for the addresses that a call may go to: never instance metadata; private networks only where allowed.

The special-purpose address registries of IANA (RFC 6890 and its updates) define what is not public. The list is
written out because `ipaddress` of Python 3.11 misses entries that were added or deprecated since.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Literal

from convergence.errors import StepFailed

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

# What may be called besides public addresses: nothing, this machine under its plain names, or private networks too.
Reach = Literal["public", "loopback", "private"]
DEFAULT_REACH: Final[Reach] = "loopback"

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

# Machines' metadata beside 169.254.169.254, which is link-local: AWS by IPv6, Azure's wire server, Alibaba Cloud.
_METADATA: Final = frozenset(map(ip_address, ("fd00:ec2::254", "168.63.129.16", "100.100.100.200")))

# No host has such an address, or it is impossible to know which host answers.
_NOWHERE: Final[tuple[_Network, ...]] = (
    *map(IPv4Network, ("0.0.0.0/8", "169.254.0.0/16", "192.88.99.0/24", "224.0.0.0/4", "255.255.255.255/32")),
    *map(IPv6Network, ("::/128", "fe80::/10", "fec0::/10", "ff00::/8", "100::/64", "100:0:0:1::/64")),
    IPv6Network("64:ff9b:1::/48"),  # local translation (RFC 8215): the operator chooses where the IPv4 address lies
    IPv6Network("2001::/32"),  # Teredo (RFC 4380): an arbitrary relay to an obfuscated address
)
_NOT_PUBLIC: Final[tuple[_Network, ...]] = (
    *map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24")),
    *map(IPv4Network, ("192.31.196.0/24", "192.52.193.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15")),
    *map(IPv4Network, ("198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4")),
    *map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20")),
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")  # everything outside is not public

# Names that no public server has: reserved (RFC 6761, 6762, 8375), set aside for private use (ICANN 2024: .internal;
# 2018: .corp, .home), and what else routers and companies use.
_INSIDE: Final = (
    *(".corp", ".home", ".home.arpa", ".internal", ".intranet"),
    *(".lan", ".local", ".localdomain", ".localhost", ".private"),
)
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")  # RFC 1035, section 2.3.4, and `_` as in use
_NAME_MAX: Final = 253

# IPv6 addresses whose last 32 bits are the IPv4 address that packets go to: compatible and mapped (RFC 4291, section
# 2.5.5), translated by stateless and by stateful translators (RFC 7915, RFC 6052).
_EMBEDDED: Final = tuple(map(IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
_OWN: Final = frozenset(map(IPv6Address, ("::", "::1")))  # inside ::/96, and not IPv4


def check_addresses(host: str, addresses: Iterable[str], reach: Reach) -> None:
    """Refuse the host when any of its addresses is out of reach; called with those that will be connected to.

    Raises `StepFailed`.
    """
    for address in addresses:
        if _is_nowhere(address):
            raise StepFailed(
                f"the host {host!r} has the address {address}, which is never an API's; it cannot be called"
            )
        if reach == "loopback" and host in LOOPBACK and real_address(address).is_loopback:
            continue
        if reach != "private" and not is_public(address):
            raise StepFailed(
                f"the host {host!r} has a private address; to allow it, set config.allow_private_addresses: true"
            )


def may_connect(address: str, reach: Reach) -> bool:
    """Return whether a socket may be connected to an address, under whatever name it was found."""
    if _is_nowhere(address):
        return False
    return reach == "private" or is_public(address) or (reach == "loopback" and real_address(address).is_loopback)


def is_public(address: str) -> bool:
    """Return whether an address is one of the public internet. Raises `ValueError` for text that is not an address."""
    real = real_address(address)
    if isinstance(real, IPv6Address) and real not in _GLOBAL_UNICAST:
        return False
    return not _is_nowhere(address) and not _within(real, _NOT_PUBLIC)


def real_address(address: str) -> _Address:
    """Return the address that packets go to: the IPv4 address if an IPv6 one embeds it."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv4Address) or parsed in _OWN:
        return parsed
    if _within(parsed, _EMBEDDED):
        return IPv4Address(int(parsed) & 0xFFFF_FFFF)
    return parsed.sixtofour or parsed  # RFC 3056, section 2


def literal_address(host: str) -> str | None:
    """Return the address that a host spells, None for a name.

    Systems accept more than four decimal numbers as an address: `127.1`, `0x7f.1`, `0177.0.0.1`, `2130706433`.
    """
    if ":" in host:
        return str(ip_address(host.partition("%")[0]))
    try:
        return socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
    except (OSError, UnicodeError):
        return None


@lru_cache(maxsize=1024)  # used for every call; a refusal is not cached
def check_reachable(host: str, reach: Reach) -> None:
    """Refuse what can be seen to be out of reach, before a name is resolved. Raises `StepFailed`.

    That is an address out of reach or in an unusual spelling, a name that no host can have, and, unless private
    networks may be called, a name inside a network.
    """
    try:
        address = literal_address(host)
    except ValueError:
        raise StepFailed(f"the host {host!r} is not an address") from None
    if address is None:
        _check_name(host, reach)
        return
    check_addresses(host, [address], reach)
    if ":" not in host and address != host:
        raise StepFailed(f"the host {host!r} is an address in an unusual spelling: write it as {address}")


def _check_name(host: str, reach: Reach) -> None:
    name = host.lower().removesuffix(".")
    if len(name) > _NAME_MAX or not all(map(_LABEL.fullmatch, name.split("."))):
        raise StepFailed(f"no host can have the name {host[:_NAME_MAX]!r}")
    inside = "." not in name or f".{name}".endswith(_INSIDE)
    if inside and reach != "private" and not (reach == "loopback" and name in LOOPBACK):
        raise StepFailed(
            f"the host {host!r} is a name inside a network; to allow it, set config.allow_private_addresses: true"
        )


def _is_nowhere(address: str) -> bool:
    parsed, real = ip_address(address.partition("%")[0]), real_address(address)
    return real in _METADATA or _within(real, _NOWHERE) or _within(parsed, _NOWHERE)


def _within(address: _Address, networks: Iterable[_Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
