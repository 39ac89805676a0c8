"""The installation examines itself, for the operator."""

from __future__ import annotations

from fastapi import APIRouter
from typing_extensions import TypedDict

from convergence.engine.doctor import answer, examine
from convergence.entry.api.auth import Operator
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At

router = APIRouter(prefix="/doctor", tags=["health"], route_class=StrictRoute)


class FindingAnswer(TypedDict):
    """What a check found; `cure` is empty when all is well, `warning` says that it stops nothing."""

    check: str
    found: str
    cure: str
    warning: bool


class Examined(TypedDict):
    """Every check."""

    healthy: bool
    findings: list[FindingAnswer]


@router.get("", response_model=Examined, responses=documented())
async def doctor(at: At, _: Operator) -> Json:
    """Check store, keyring, procedures, migrations, schemas, schedules, the reconciler, retention and files of orgs."""
    return Json(answer(await examine(at.services)))
