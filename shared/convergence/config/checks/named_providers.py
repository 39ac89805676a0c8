"""Providers that a file names but the configs folder does not know: no credential can be stored for them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from convergence.config.checks.steps import Needs
from convergence.config.files.older_providers import current
from convergence.config.files.providers import declared, load_providers
from convergence.config.loader import LoadedPipeline
from convergence.config.yaml.positions import KeyPath
from convergence.errors import ConfigError, did_you_mean

Opening = tuple[int, Mapping[str, Any], Needs]  # a step's index, its blocks, what it needs


def known_providers(root: Path) -> frozenset[str]:
    """Return the names under which credentials may be stored: those in the registry and those of the folders of `root`.

    Raises what `load_providers` raises.
    """
    registry = load_providers(root)
    folders = (path.name for path in root.iterdir() if path.is_dir())
    return frozenset({*registry.providers, *registry.aliases, *folders})


def unknown_providers(loaded: LoadedPipeline, steps: Sequence[Opening], known: frozenset[str]) -> Iterator[ConfigError]:
    """Yield a warning for each name in `integration_required` and for each credential that a step opens."""
    pipeline = loaded.pipeline
    stored = (needs.stores for _, _, needs in steps)
    named = {*known, *pipeline.parameters, *stored, pipeline.provider}
    for at, name in _named(loaded, steps, named):
        message = f"no provider is called {name!r}, so it has no credential.{did_you_mean(name, known)}{declared(name)}"
        yield loaded.positions.problem(at, message)


def _named(loaded: LoadedPipeline, steps: Sequence[Opening], named: Collection[str]) -> Iterator[tuple[KeyPath, str]]:
    for index, name in enumerate(loaded.pipeline.integration_required):
        if current(name) not in named:
            yield ("integration_required", index), name
    for index, blocks, needs in steps:
        for group in needs.opens:
            if all(current(name) not in named and name not in named for name in group):
                places = (place for name in group for place in _places(blocks, ("steps", index), name))
                yield from ((place, group[0]) for place in list(places)[:1])


def _places(value: Any, at: KeyPath, name: str) -> Iterator[KeyPath]:
    """Yield the places where the file itself has `name`: a processor's default is not the author's mistake."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _places(inner, (*at, key), name)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _places(inner, (*at, index), name)
    elif value == name:
        yield at
