"""The settings of an org: remove a credential; for the operator, make and revoke keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from convergence.entry.api.auth import Admin, OrgName, Reader
from convergence.entry.api.runtime import At
from convergence.entry.ui.access import check_operator, rights
from convergence.entry.ui.forms import Signed
from convergence.entry.ui.pages import PageRoute, page, redirect
from convergence.entry.ui.views.notifications import profile_of
from convergence.entry.ui.views.settings import settings_page
from convergence.errors import InvalidInput
from convergence.tenants.api_keys import SCOPES
from convergence.tenants.orgs import Org

router = APIRouter(route_class=PageRoute)
_NAME_MAX: Final = 200


@router.get("/{org}/settings")
async def settings(request: Request, org: OrgName, at: At, caller: Reader) -> Response:
    """Show providers, keys and limits."""
    known = await at.pipelines.get()
    view = await settings_page(at.services, at.keys, org, known, with_keys=caller.kind == "root")
    return await page(request, "settings.html", view=view, active="settings", scopes=SCOPES, **rights(caller, org))


@router.post("/{org}/settings/credentials/{provider}/{credential_id}/delete")
async def delete(
    request: Request, org: OrgName, provider: str, credential_id: str, at: At, _: Admin, form: Signed
) -> Response:
    """Remove a credential, after a page that asks again."""
    if form.get("sure") != "1":
        action = request.url.path
        return await page(
            request, "sure.html", active="settings", action=action, what=f"the credential {credential_id} of {provider}"
        )
    await at.services.credentials.delete(org, provider, credential_id)
    return redirect(f"/ui/{org}/settings#h-int")


@router.post("/{org}/settings/keys")
async def make_key(request: Request, org: OrgName, at: At, caller: Admin, form: Signed) -> Response:
    """Make a key; its text is on this page and nowhere else."""
    check_operator(caller)
    await at.services.orgs.get(org)
    name = form.get("name", "").strip()
    if len(name) > _NAME_MAX:
        raise InvalidInput(f"a key's name may have at most {_NAME_MAX} characters")
    text, key = await at.keys.create(org, name=name, scopes=form.many("scope"))
    return await page(request, "new_key.html", active="settings", text=text, key=key)


@router.post("/{org}/settings/keys/{key_id}/revoke")
async def revoke(request: Request, org: OrgName, key_id: str, at: At, caller: Admin, form: Signed) -> Response:
    """End a key, after a page that asks again; sessions that were opened with it end too."""
    check_operator(caller)
    if form.get("sure") != "1":
        action = request.url.path
        return await page(request, "sure.html", active="settings", action=action, what=f"the key {key_id}")
    await at.keys.revoke(org, key_id)
    return redirect(f"/ui/{org}/settings#h-keys")


@router.post("/{org}/settings/notifications")
async def notify(org: OrgName, at: At, caller: Admin, form: Signed) -> Response:
    """Change what the org's runs send by default; like the rest of the profile, for the operator."""
    check_operator(caller)
    entries = profile_of(form.many("channel"), form.get("emails", ""), form.get("slack_channel", ""))

    def edit(known: Org) -> Org:
        profile = {**known.profile, **entries}
        return replace(known, profile={name: value for name, value in profile.items() if value is not None})

    await at.services.orgs.change(org, edit, token=at.services.ids.new("t"))
    return redirect(f"/ui/{org}/settings#h-not")
