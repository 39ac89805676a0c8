"""Which package offers which processor, and names that several offer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP: Final = "convergence.processors"
OWN: Final = "convergence-pipelines"


class Offer(NamedTuple):
    """A processor that an installed package offers under a `ps_type`."""

    package: str
    entry: EntryPoint


@lru_cache(maxsize=1)
def offers() -> Mapping[str, tuple[Offer, ...]]:
    """Return what the installed packages offer, by `ps_type`. Reads the metadata of every installed distribution."""
    from importlib.metadata import entry_points  # slow to import; a command without steps need not wait for it

    found: dict[str, list[Offer]] = defaultdict(list)
    for entry in entry_points(group=GROUP):
        found[entry.name].append(Offer(entry.dist.name if entry.dist else "", entry))
    return {name: tuple(dict.fromkeys(each)) for name, each in found.items()}


def contested(name: str, *, shipped: bool) -> str:
    """Return a sentence about a `ps_type` that more than one package offers, an empty string otherwise.

    `shipped`: this product has a processor of that name too.
    """
    packages = sorted({each.package for each in offers().get(name, ())} | ({OWN} if shipped else set()))
    if len(packages) < 2:
        return ""
    return f"the processor {name!r} is provided by {' and by '.join(packages)}; remove all of them but one"
