"""Orgs, for the operator; an org sees its own quota."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from typing_extensions import TypedDict

from convergence.config.files.retention import check_profile
from convergence.domain.quota import Limits
from convergence.engine.services import dataset_of
from convergence.engine.views.quota import QuotaView, quota_view
from convergence.entry.api.auth import KeyHolder, Operator, OrgName, Reader
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.models import (
    KeyAnswer,
    KeyBody,
    LimitsBody,
    NewKey,
    OnboardBody,
    Onboarded,
    OrgAnswer,
    PatchBody,
    RotateBody,
    SubscriptionBody,
    key_data,
    org_data,
)
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At, Runtime
from convergence.tenants.onboarding import onboard as onboard_org
from convergence.tenants.orgs import Org, subscription_status
from convergence.tenants.plans import on_plan

router = APIRouter(tags=["organizations"], route_class=StrictRoute)
development = APIRouter(prefix="/admin/dev", tags=["organizations"])
KeyId = Annotated[str, Path(examples=["key_0f3a5c7e9b1d2468"])]


class Orgs(TypedDict):
    """All orgs, by slug."""

    organizations: list[OrgAnswer]


class Keys(TypedDict):
    """The keys of an org, oldest first."""

    keys: list[KeyAnswer]


class DevelopmentKey(TypedDict):
    """A key in plain text."""

    api_key: str


class Me(TypedDict):
    """Whose key it is. The operator's belongs to no org."""

    kind: Literal["org", "root"]
    org: str
    scopes: list[str]


@router.get("/me", response_model=Me, responses=documented())
async def me(caller: KeyHolder) -> Json:
    """Return whose key this is and what it may do."""
    return Json({"kind": caller.kind, "org": caller.org, "scopes": list(caller.scopes)})


@router.post("/organizations/onboard", status_code=201, response_model=Onboarded, responses=documented(409))
async def onboard(body: OnboardBody, at: At, _: Operator) -> Json:
    """Create an org with its dataset and tables; the answer contains its first key, which is not shown again."""
    services = at.services
    check_profile(body.profile)
    org = Org(
        slug=body.slug,
        name=body.name or body.slug,
        status=body.status,
        limits=Limits(daily=1, monthly=1, concurrent=1),  # replaced by the plan's limits
        created_at=services.clock.now(),
        profile={name: value for name, value in body.profile.items() if value is not None},
        plan=body.plan or "STARTER",
    )
    dataset = dataset_of(services, body.slug)
    given = (services.documents, services.warehouse, services.schemas, at.keys, org)
    founded, _key, text = await onboard_org(*given, dataset=dataset, configs_dir=services.configs_dir)
    return Json({"org": org_data(founded), "dataset": dataset, "api_key": text}, status_code=201)


@router.get("/organizations", response_model=Orgs, responses=documented())
async def list_orgs(at: At, _: Operator) -> Json:
    """List all orgs."""
    slugs = await at.services.orgs.slugs()
    return Json({"organizations": [org_data(await at.services.orgs.get(slug)) for slug in slugs]})


@router.get("/organizations/{org}", response_model=OrgAnswer, responses=documented(404))
async def get(org: OrgName, at: At, _: Operator) -> Json:
    """Return an org."""
    return Json(org_data(await at.services.orgs.get(org)))


@router.patch("/organizations/{org}", response_model=OrgAnswer, responses=documented(404, 409))
async def patch(org: OrgName, body: PatchBody, at: At, _: Operator) -> Json:
    """Change name, plan, limits or profile."""
    check_profile(body.profile)

    def edit(known: Org) -> Org:
        profile = {**known.profile, **body.profile}
        named = known if body.name is None else replace(known, name=body.name)
        kept = {name: value for name, value in profile.items() if value is not None}
        return replace(_planned(at, named, body.plan, body.limits), profile=kept)

    return Json(org_data(await _change(at, org, edit)))


@router.put("/organizations/{org}/subscription", response_model=OrgAnswer, responses=documented(404, 409))
@router.put(
    "/orgs/{org}/subscription", response_model=OrgAnswer, responses=documented(404, 409), include_in_schema=False
)
async def subscription(org: OrgName, body: SubscriptionBody, at: At, _: Operator) -> Json:
    """Apply what the billing system reports: the subscription's status, its plan or limits."""
    status = subscription_status(body.status)
    edited = await _change(
        at, org, lambda known: replace(_planned(at, known, body.plan, body.limits), subscription=status)
    )
    return Json(org_data(edited))


@router.post("/organizations/{org}/suspend", response_model=OrgAnswer, responses=documented(404, 409))
async def suspend(org: OrgName, at: At, _: Operator) -> Json:
    """Keep the org from starting runs; current runs continue."""
    return Json(org_data(await _change(at, org, lambda known: replace(known, status="SUSPENDED"))))


@router.post("/organizations/{org}/resume", response_model=OrgAnswer, responses=documented(404, 409))
async def resume(org: OrgName, at: At, _: Operator) -> Json:
    """Let a suspended org run again."""
    return Json(org_data(await _change(at, org, lambda known: replace(known, status="ACTIVE"))))


@router.get("/organizations/{org}/quota", response_model=QuotaView, responses=documented(404))
async def quota(org: OrgName, at: At, _: Reader) -> Json:
    """Return limits, what is used of them, and how today's runs ended."""
    return Json(await quota_view(at.services, await at.services.orgs.get(org)))


@router.get("/organizations/{org}/keys", response_model=Keys, responses=documented(404))
async def list_keys(org: OrgName, at: At, _: Operator) -> Json:
    """List the keys of an org, without their text."""
    await at.services.orgs.get(org)
    return Json({"keys": [key_data(key) for key in await at.keys.all(org)]})


@router.post("/organizations/{org}/keys", status_code=201, response_model=NewKey, responses=documented(404))
async def create_key(org: OrgName, body: KeyBody, at: At, _: Operator) -> Json:
    """Create a key; the answer contains it, and it is not shown again."""
    await at.services.orgs.get(org)
    expires_in = None if body.expires_in_days is None else timedelta(days=body.expires_in_days)
    text, key = await at.keys.create(org, name=body.name, scopes=body.scopes, expires_in=expires_in)
    return Json({**key_data(key), "api_key": text}, status_code=201)


@router.post(
    "/organizations/{org}/keys/{key_id}/rotate", status_code=201, response_model=NewKey, responses=documented(404)
)
async def rotate_key(org: OrgName, key_id: KeyId, at: At, _: Operator, body: RotateBody | None = None) -> Json:
    """Replace a key by a new one with the same scopes; the old one stays valid for the overlap."""
    overlap = timedelta(hours=(body or RotateBody()).overlap_hours)
    text, key = await at.keys.rotate(org, key_id, overlap=overlap)
    return Json({**key_data(key), "api_key": text}, status_code=201)


@router.delete("/organizations/{org}/keys/{key_id}", status_code=204, responses=documented(404))
async def revoke_key(org: OrgName, key_id: KeyId, at: At, _: Operator) -> None:
    """Revoke a key at once."""
    await at.keys.revoke(org, key_id)


@development.get("/api-key/{org}", response_model=DevelopmentKey, responses=documented(404))
async def development_key(org: OrgName, at: At, _: Operator) -> Json:
    """Return the org's latest key in plain text. Neither this route nor the stored copy exists in production."""
    return Json({"api_key": await at.keys.development_key(org)})


async def _change(at: Runtime, org: str, edit: Any) -> Org:
    return await at.services.orgs.change(org, edit, token=at.services.ids.new("t"))


def _planned(at: Runtime, org: Org, plan: str | None, limits: LimitsBody | None) -> Org:
    """Set the plan and its limits; given limits take precedence and may belong to an external plan."""
    if limits is not None:
        return replace(org, plan=org.plan if plan is None else plan, limits=limits.limits())
    if plan is not None:
        return on_plan(at.services.configs_dir, org, plan)
    return org
