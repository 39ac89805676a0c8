"""Migrations, for the operator."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from typing_extensions import TypedDict

from convergence.engine.migrate import migrate
from convergence.entry.api.auth import Operator
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At

router = APIRouter(prefix="/migrations", tags=["procedures"], route_class=StrictRoute)


class Migrated(TypedDict):
    """Dataset → the scripts that ran, or would run."""

    dry_run: bool
    migrated: dict[str, list[str]]


@router.post("/execute", response_model=Migrated, responses=documented())
async def execute_all(
    at: At, _: Operator, dry_run: Annotated[bool, Query(description="Only report what would run.")] = False
) -> Json:
    """Run every pending migration in every org's dataset; a repeat runs nothing."""
    return Json({"dry_run": dry_run, "migrated": await migrate(at.services, None, dry_run=dry_run)})


@router.post("/{name}/execute", response_model=Migrated, responses=documented(404))
async def execute(
    name: Annotated[str, Path(examples=["001_prices"])],
    at: At,
    _: Operator,
    dry_run: Annotated[bool, Query(description="Only report what would run.")] = False,
) -> Json:
    """Run a migration in every org's dataset that lacks it, after its predecessors; a repeat runs nothing."""
    return Json({"dry_run": dry_run, "migrated": await migrate(at.services, name, dry_run=dry_run)})
