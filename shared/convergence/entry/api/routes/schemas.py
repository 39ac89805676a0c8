"""Tables' columns, for the operator."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from typing_extensions import TypedDict

from convergence.engine.schema_sync import ORGS_AT_ONCE, sync_all_schemas, sync_schemas
from convergence.entry.api.auth import Operator
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At

router = APIRouter(prefix="/schemas", tags=["procedures"], route_class=StrictRoute)


class SyncedTables(TypedDict):
    """dataset.table → the columns that it got, or would get; and the tables that could not be changed.

    `orgs` were looked at; where there are more, `cursor` is that of the next request.
    """

    dry_run: bool
    added: dict[str, list[str]]
    failed: dict[str, str]
    orgs: int
    cursor: str | None


@router.post("/sync", response_model=SyncedTables, responses=documented())
async def sync(
    at: At,
    _: Operator,
    dry_run: Annotated[bool, Query(description="Only report what would be added.")] = False,
    limit: Annotated[
        int | None, Query(ge=1, le=100, description="How many orgs; without it and a cursor all of them.")
    ] = None,
    cursor: Annotated[str | None, Query(max_length=2_000, description="The previous answer's cursor.")] = None,
) -> Json:
    """Add the columns of schema files that existing tables lack, in the datasets of `limit` orgs.

    The request without a cursor begins with the tables that all orgs share. Repeat it with the answer's cursor until
    there is none. Without `limit`, as earlier clients call it, all orgs are done in one request.
    """
    if limit is None and cursor is None:
        done = await sync_all_schemas(at.services, dry_run=dry_run)
    else:
        done = await sync_schemas(at.services, dry_run=dry_run, limit=limit or ORGS_AT_ONCE, cursor=cursor)
    return Json({"dry_run": dry_run, **asdict(done)})
