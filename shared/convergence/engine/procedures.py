"""Stored procedures brought up to date from their files: one that is wrong does not stop the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from convergence.errors import ConvergenceError, Transient
from convergence.ports.warehouse import Routine, Warehouse


@dataclass(frozen=True, slots=True)
class Synced:
    """Names that were created or replaced, and why others could not be, by the procedure's name."""

    synced: list[str] = field(default_factory=list)
    failed: dict[str, ConvergenceError] = field(default_factory=dict)


async def sync(warehouse: Warehouse, routines: Sequence[Routine], *, force: bool = False) -> Synced:
    """Update each routine. Raises `Transient` when the warehouse cannot be asked at all."""
    done = Synced()
    for routine in routines:
        try:
            done.synced.extend(await warehouse.sync_routines([routine], force=force))
        except Transient:
            raise
        except ConvergenceError as error:
            done.failed[routine.name] = error
    return done
