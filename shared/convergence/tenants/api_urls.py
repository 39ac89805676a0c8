"""The APIs to which a tenant may send its keys, and which it can thus make this installation call.

A caller that could name any address could reach what only this machine can reach (server-side request forgery). So in
production the registry of providers is the list of hosts. Parameters whose names indicate addresses are refused here,
before anything is stored; the requests themselves are checked by `api_hosts` and the transport.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from convergence.config.files.models import Providers
from convergence.errors import InvalidInput, did_you_mean
from convergence.tenants.api_hosts import registry_hosts

_ENDING: Final = "_url"


def check_api_urls(registry: Providers, given: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` for a parameter that names an address outside the registry, or not by https on port 443."""
    hosts = registry_hosts(registry)
    for name, value in given.items():
        if name.endswith(_ENDING):
            _check(name, value, hosts)


def _check(name: str, value: Any, hosts: frozenset[str]) -> None:
    try:
        parts = urlsplit(str(value))
        plain = parts.scheme == "https" and parts.port in (None, 443) and parts.username is None
    except ValueError:
        raise InvalidInput(f"{name} is not a URL") from None
    if not plain:
        raise InvalidInput(f"{name} must begin with https://, without a port or a user, in production")
    if parts.hostname not in hosts:
        known = did_you_mean(parts.hostname or "", hosts)
        raise InvalidInput(f"{name}: this installation does not call {(parts.hostname or 'that')[:100]!r}.{known}")
