"""Migrations, for the operator."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from typing_extensions import TypedDict

from convergence.engine.migrate import ORGS_AT_ONCE, migrate, migrate_all
from convergence.entry.api.auth import Operator
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At, Runtime

router = APIRouter(prefix="/migrations", tags=["procedures"], route_class=StrictRoute)


DryRun = Annotated[bool, Query(description="Only report what would run.")]
Limit = Annotated[int | None, Query(ge=1, le=100, description="How many orgs; without it and a cursor all of them.")]
Cursor = Annotated[str | None, Query(max_length=2_000, description="The previous answer's cursor.")]


class Migrated(TypedDict):
    """Dataset → the scripts that ran, or would run. Where there are more orgs, `cursor` is that of the next request."""

    dry_run: bool
    migrated: dict[str, list[str]]
    cursor: str | None


@router.post("/execute", response_model=Migrated, responses=documented())
async def execute_all(at: At, _: Operator, dry_run: DryRun = False, limit: Limit = None, cursor: Cursor = None) -> Json:
    """Run every pending migration in the datasets of `limit` orgs; a repeat runs nothing.

    Repeat it with the answer's cursor until there is none. Without `limit`, as earlier clients call it, all orgs are
    done in one request.
    """
    return await _migrate(at, None, dry_run, limit, cursor)


@router.post("/{name}/execute", response_model=Migrated, responses=documented(404))
async def execute(
    name: Annotated[str, Path(examples=["001_prices"])],
    at: At,
    _: Operator,
    dry_run: DryRun = False,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Json:
    """Run a migration in the datasets of `limit` orgs that lack it, after its predecessors; a repeat runs nothing.

    Repeat it with the answer's cursor until there is none.
    """
    return await _migrate(at, name, dry_run, limit, cursor)


async def _migrate(at: Runtime, up_to: str | None, dry_run: bool, limit: int | None, cursor: str | None) -> Json:
    if limit is None and cursor is None:
        return Json(
            {"dry_run": dry_run, "migrated": await migrate_all(at.services, up_to, dry_run=dry_run), "cursor": None}
        )
    done = await migrate(at.services, up_to, dry_run=dry_run, limit=limit or ORGS_AT_ONCE, cursor=cursor)
    return Json({"dry_run": dry_run, "migrated": done.ran, "cursor": done.cursor})
