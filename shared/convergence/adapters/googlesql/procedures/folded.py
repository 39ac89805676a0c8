"""A script folded for one call: its text with the SQL and the calls that are known before it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from convergence.adapters.googlesql.scripts import nodes
from convergence.adapters.googlesql.types import SqlType

Types = Mapping[str, SqlType | None]


@dataclass(slots=True)
class Folded:
    """A script for one call. `texts` has the SQL of each EXECUTE IMMEDIATE (None: NULL, an error when it runs), `calls`
    the procedure that each CALL runs, `visible` the variables in sight of each CALL. `declared` are all its variables,
    `untaken` the branches of an IF that this call does not take, by their place in it.
    """

    source: str
    body: Sequence[nodes.Node]
    arguments: tuple[nodes.Argument, ...] = ()
    name: str = ""
    texts: dict[nodes.Execute, str | None] = field(default_factory=dict)
    calls: dict[nodes.Call, Folded] = field(default_factory=dict)
    visible: dict[nodes.Call, Types] = field(default_factory=dict)
    declared: dict[str, SqlType | None] = field(default_factory=dict)
    untaken: set[tuple[nodes.If, int]] = field(default_factory=set)
