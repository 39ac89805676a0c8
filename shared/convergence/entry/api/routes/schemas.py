"""Tables' columns, for the operator."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from typing_extensions import TypedDict

from convergence.engine.schema_sync import answer, sync_schemas
from convergence.entry.api.auth import Operator
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At

router = APIRouter(prefix="/schemas", tags=["procedures"], route_class=StrictRoute)


class SyncedTables(TypedDict):
    """dataset.table → the columns that it got, or would get; and the tables that could not be changed."""

    dry_run: bool
    added: dict[str, list[str]]
    failed: dict[str, str]


@router.post("/sync", response_model=SyncedTables, responses=documented())
async def sync(
    at: At,
    _: Operator,
    dry_run: Annotated[bool, Query(description="Only report what would be added.")] = False,
) -> Json:
    """Add the columns of schema files that existing tables lack, in every org's dataset."""
    return Json(answer(await sync_schemas(at.services, dry_run=dry_run), dry_run=dry_run))
