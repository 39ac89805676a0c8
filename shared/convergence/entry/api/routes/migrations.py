"""Migrations, for the operator."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from typing_extensions import TypedDict

from convergence.engine.migrate import ORGS_AT_ONCE, migrate
from convergence.entry.api.auth import Operator
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At

router = APIRouter(prefix="/migrations", tags=["procedures"], route_class=StrictRoute)


DryRun = Annotated[bool, Query(description="Only report what would run.")]
Limit = Annotated[int, Query(ge=1, le=100, description="How many orgs.")]
Cursor = Annotated[str | None, Query(max_length=2_000, description="From the answer before.")]


class Migrated(TypedDict):
    """Dataset → the scripts that ran, or would run. Where there are more orgs, `cursor` is that of the next request."""

    dry_run: bool
    migrated: dict[str, list[str]]
    cursor: str | None


@router.post("/execute", response_model=Migrated, responses=documented())
async def execute_all(
    at: At, _: Operator, dry_run: DryRun = False, limit: Limit = ORGS_AT_ONCE, cursor: Cursor = None
) -> Json:
    """Run every pending migration in the datasets of `limit` orgs; a repeat runs nothing.

    Repeat it with the answer's cursor until there is none.
    """
    done = await migrate(at.services, None, dry_run=dry_run, limit=limit, cursor=cursor)
    return Json({"dry_run": dry_run, "migrated": done.ran, "cursor": done.cursor})


@router.post("/{name}/execute", response_model=Migrated, responses=documented(404))
async def execute(
    name: Annotated[str, Path(examples=["001_prices"])],
    at: At,
    _: Operator,
    dry_run: DryRun = False,
    limit: Limit = ORGS_AT_ONCE,
    cursor: Cursor = None,
) -> Json:
    """Run a migration in the datasets of `limit` orgs that lack it, after its predecessors; a repeat runs nothing.

    Repeat it with the answer's cursor until there is none.
    """
    done = await migrate(at.services, name, dry_run=dry_run, limit=limit, cursor=cursor)
    return Json({"dry_run": dry_run, "migrated": done.ran, "cursor": done.cursor})
