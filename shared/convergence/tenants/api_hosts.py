"""The hosts that a step may call in production: not those that a tenant's parameters determine.

`api_urls` refuses parameters by their names, before anything is stored. Here the request itself is looked at: whatever
the parameter is called, and however many templates, variables and results of steps it went through. A host in the
registry of providers may be called, and so may one that the pipeline's file spells out; any other host only if it is
not determined by a value of the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlsplit

from convergence.config.files.models import Providers
from convergence.config.loader import LoadedPipeline
from convergence.config.model.pipeline import ParameterSpec
from convergence.errors import StepFailed

_DOTS: Final = re.compile("[\u3002\uff0e\uff61]")  # IDNA treats them as dots (RFC 3490, section 3.1)
_PIECE: Final = re.compile(r"[\w.-]+")  # the characters of a host
_SPELLED: Final = re.compile(r"https?://([^/?#{}\s\"'\\]+)(?=[/?#\s\"'\\]|$)", re.IGNORECASE)
_NO_FILE: Final[tuple[str, ...]] = ()


class TenantHosts:
    """The hosts that one run may call."""

    def __init__(
        self,
        registry: Callable[[], Providers],
        loaded: Callable[[], LoadedPipeline | None],
        parameters: Mapping[str, Any],
    ) -> None:
        """Registry and file are read on the first request: most steps send none.

        A pipeline whose file no longer exists is None: then no host counts as spelled out by it.
        """
        self._registry, self._read, self._parameters = registry, loaded, parameters

    def __call__(self, host: str) -> None:
        """Raise `StepFailed` for a host that a parameter's value determines."""
        if host in self._known:
            return
        for name, pieces in self._given.items():
            if any(_determines(piece, host) for piece in pieces):
                raise StepFailed(
                    f"the parameter {name} leads to the host {host[:100]!r}, which this installation does not call; "
                    "the operator may add it to api_hosts in system/providers.yml"
                )

    @cached_property
    def _loaded(self) -> LoadedPipeline | None:
        return self._read()

    @cached_property
    def _known(self) -> frozenset[str]:
        texts = _NO_FILE if self._loaded is None else _texts(self._loaded.pipeline.model_dump(mode="json"))
        spelled = (match[1] for text in texts for match in _SPELLED.finditer(text))
        return registry_hosts(self._registry()) | {_host(f"https://{each}") for each in spelled}

    @cached_property
    def _given(self) -> Mapping[str, list[str]]:
        return {
            name: [piece for text in _texts(value) for piece in _pieces(text)]
            for name, value in self._parameters.items()
            if not self._is_the_operators(name, value)
        }

    def _is_the_operators(self, name: str, value: Any) -> bool:
        """Return whether a value is a default, one of a list of allowed ones, or a variable's own."""
        if self._loaded is None:
            return False
        pipeline = self._loaded.pipeline
        spec: ParameterSpec | None = pipeline.parameters.get(name)
        if spec is not None:
            return value == spec.default or (spec.allowed is not None and value in spec.allowed)
        return name in pipeline.variables and value == pipeline.variables[name]


def registry_hosts(registry: Providers) -> frozenset[str]:
    """Return the hosts of all providers and those that the operator adds."""
    hosts = {_host(each.api_base_url) for each in registry.providers.values()}
    return frozenset(hosts | {host.lower() for host in registry.api_hosts})


def _determines(piece: str, host: str) -> bool:
    """Return whether a host ends with a piece, at a dot, or contains one that has dots itself."""
    return host == piece or host.endswith("." + piece) or ("." in piece and piece in host)


def _pieces(text: str) -> Iterator[str]:
    for found in _PIECE.findall(_DOTS.sub(".", text.lower())):
        piece = found.strip(".")
        if piece:
            yield piece
            if not piece.isascii():
                yield _ascii(piece)


def _ascii(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield str(name)
            yield from _texts(item)
    elif isinstance(value, Iterable):
        for item in value:
            yield from _texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
