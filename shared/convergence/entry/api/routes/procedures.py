"""Stored procedures and migrations, for the operator."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from typing_extensions import TypedDict

from convergence.config.files.procedures import load_procedures
from convergence.engine import procedures
from convergence.entry.api.auth import Operator
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.models import Asked
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At, Runtime
from convergence.errors import NotFound, did_you_mean
from convergence.ports.warehouse import Routine

router = APIRouter(prefix="/procedures", tags=["procedures"], route_class=StrictRoute)
ProcedureName = Annotated[str, Path(examples=["sp_genai_focus_candidates_1_3"])]
Force = Annotated[bool, Query(description="Replace the procedure even if its file has not changed.")]


class ProcedureAnswer(TypedDict):
    """A procedure: the digest is its file's."""

    name: str
    digest: str
    source: str


class Procedures(TypedDict):
    """Procedures, by name."""

    procedures: list[ProcedureAnswer]


class Synced(TypedDict):
    """The procedures that were created or replaced, and those that could not be, each with the reason."""

    synced: list[str]
    failed: dict[str, str]


class SyncBody(Asked):
    """`force` may be written in the body, too."""

    force: bool = False


@router.get("", response_model=Procedures, responses=documented())
async def stored(at: At, _: Operator) -> Json:
    """List the procedures of the warehouse."""
    return Json({"procedures": [_data(routine) for routine in await at.services.warehouse.list_routines()]})


@router.get("/files", response_model=Procedures, responses=documented())
async def files(at: At, _: Operator) -> Json:
    """List the files of procedures."""
    return Json({"procedures": [_data(routine) for routine in load_procedures(at.services.configs_dir)]})


@router.post("/sync", response_model=Synced, responses=documented())
async def sync(at: At, _: Operator, force: Force = False, body: SyncBody | None = None) -> Json:
    """Update the warehouse's procedures from their files; one that is wrong does not stop the others."""
    return await _sync(at, load_procedures(at.services.configs_dir), force or (body is not None and body.force))


@router.get("/{name}", response_model=ProcedureAnswer, responses=documented(404))
async def get(name: ProcedureName, at: At, _: Operator) -> Json:
    """Return a procedure of the warehouse."""
    return Json(_data(await at.services.warehouse.get_routine(name)))


@router.post("/{name}", response_model=Synced, responses=documented(404))
async def sync_one(
    name: ProcedureName, at: At, _: Operator, force: Force = False, body: SyncBody | None = None
) -> Json:
    """Create or replace one procedure from its file."""
    routine = _named(load_procedures(at.services.configs_dir), name)
    forced = force or (body is not None and body.force)
    return Json({"synced": await at.services.warehouse.sync_routines([routine], force=forced), "failed": {}})


@router.delete("/{name}", status_code=204, responses=documented(404))
async def delete(name: ProcedureName, at: At, _: Operator) -> None:
    """Remove a procedure from the warehouse; its file stays."""
    await at.services.warehouse.delete_routine(name)


async def _sync(at: Runtime, routines: list[Routine], force: bool) -> Json:
    done = await procedures.sync(at.services.warehouse, routines, force=force)
    return Json({"synced": done.synced, "failed": {name: str(error) for name, error in done.failed.items()}})


def _named(routines: list[Routine], name: str) -> Routine:
    known = {routine.name: routine for routine in routines}
    if name not in known:
        raise NotFound(f"There is no procedure {name[:100]!r}.{did_you_mean(name, known)}")
    return known[name]


def _data(routine: Routine) -> ProcedureAnswer:
    return {"name": routine.name, "digest": routine.digest, "source": routine.source}
