"""SQL over an org's own dataset."""

from __future__ import annotations

from typing import Final

import orjson
from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from convergence.engine.views.query import ROWS_MAX, SQL_MAX, TIMEOUT_MAX_S, QueryAnswer, query
from convergence.entry.api.auth import OrgName, Reader
from convergence.entry.api.json import StrictRoute
from convergence.entry.api.models import Asked
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At
from convergence.errors import InvalidInput

router = APIRouter(prefix="/query", tags=["state"], route_class=StrictRoute)
ANSWER_BYTES_MAX: Final = 16 * 2**20


class QueryBody(Asked):
    """One GoogleSQL SELECT; `limit` bounds its rows, `timeout_s` its time."""

    sql: str = Field(min_length=1, max_length=SQL_MAX, examples=["SELECT COUNT(*) AS n FROM cost_data_standard_1_3"])
    limit: int = Field(default=1_000, ge=1, le=ROWS_MAX)
    timeout_s: float = Field(default=30.0, gt=0, le=TIMEOUT_MAX_S, strict=False)


@router.post("/{org}", response_model=QueryAnswer, responses=documented(404))
async def ask(org: OrgName, body: QueryBody, at: At, _: Reader) -> Response:
    """Return the rows of one SELECT over the org's dataset, at most 16 MiB of them. Nothing is written."""
    await at.services.orgs.get(org)
    found = orjson.dumps(await query(at.services, org, body.sql, limit=body.limit, timeout_s=body.timeout_s))
    if len(found) > ANSWER_BYTES_MAX:
        raise InvalidInput(
            f"the answer has {len(found):,} bytes, but may have at most {ANSWER_BYTES_MAX:,}; select fewer columns or"
            " rows"
        )
    return Response(found, media_type="application/json")
