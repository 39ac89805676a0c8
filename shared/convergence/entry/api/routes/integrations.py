"""Integrations: a provider's own pipelines store and test its credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path
from typing_extensions import TypedDict

from convergence.config.files.providers import load_providers, provider_name
from convergence.engine.reseal import reseal_secrets
from convergence.entry.api import starting
from convergence.entry.api.auth import Admin, OrgName, Reader
from convergence.entry.api.json import Json, StrictRoute
from convergence.entry.api.models import Accepted, CredentialAnswer, credential_data
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At, Runtime
from convergence.entry.api.starting import IdempotencyKey, Parameters, Seconds
from convergence.errors import InvalidInput
from convergence.ports.http.json_text import write_json

router = APIRouter(prefix="/integrations", tags=["integrations"], route_class=StrictRoute)
ProviderName = Annotated[str, Path(description="A provider or an alias of one.", examples=["openai"])]


class Credentials(TypedDict):
    """Stored credentials."""

    credentials: list[CredentialAnswer]


class Resealed(TypedDict):
    """How many credentials and secrets of webhooks were under an older version of the key."""

    resealed: int


@router.get("/{org}", response_model=Credentials, responses=documented(404))
async def list_all(org: OrgName, at: At, _: Reader) -> Json:
    """List the org's credentials, without their secrets."""
    known = await at.services.orgs.get(org)
    found = await at.services.credentials.all(org)
    return Json({"credentials": [credential_data(each, known) for each in found]})


@router.post("/{org}/{provider}/setup", status_code=202, response_model=Accepted, responses=starting.ANSWERS)
async def setup(
    org: OrgName,
    provider: ProviderName,
    at: At,
    caller: Admin,
    parameters: Parameters = None,
    wait: Seconds = 0,
    idempotency_key: IdempotencyKey = None,
) -> Json:
    """Run the provider's `auth/setup`: it stores the key encrypted and tests it. A repeated name rotates it."""
    pipeline = f"{_provider(at, provider)}/auth/setup"
    given = _with_credential(at, pipeline, parameters or {})
    return await starting.start(
        at, org, pipeline, given, wait_s=wait, dry_run=False, idempotency_key=idempotency_key, created_by=caller.name
    )


@router.post("/{org}/{provider}/validate", status_code=202, response_model=Accepted, responses=starting.ANSWERS)
async def validate(
    org: OrgName,
    provider: ProviderName,
    at: At,
    caller: Admin,
    parameters: Parameters = None,
    wait: Seconds = 0,
    idempotency_key: IdempotencyKey = None,
) -> Json:
    """Run the provider's `auth/validate`: it tests the stored key and records the outcome."""
    pipeline = f"{_provider(at, provider)}/auth/validate"
    return await starting.start(
        at,
        org,
        pipeline,
        parameters,
        wait_s=wait,
        dry_run=False,
        idempotency_key=idempotency_key,
        created_by=caller.name,
    )


@router.post("/{org}/reseal", response_model=Resealed, responses=documented(404, 409))
async def reseal(org: OrgName, at: At, _: Admin) -> Json:
    """Re-encrypt the org's credentials and webhook secrets whose encryption key was rotated; safe to repeat."""
    await at.services.orgs.get(org)
    return Json({"resealed": await reseal_secrets(at.services, org)})


@router.delete("/{org}/{provider}/{credential_id}", status_code=204, responses=documented(404, 409))
async def delete(org: OrgName, provider: ProviderName, credential_id: Annotated[str, Path()], at: At, _: Admin) -> None:
    """Remove a credential."""
    await at.services.credentials.delete(org, _provider(at, provider), credential_id)


def _with_credential(at: Runtime, pipeline: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with an older body's `credential` under the name of the pipeline's one secret."""
    specs = at.services.catalog.get(pipeline).pipeline.parameters
    secrets = [name for name, spec in specs.items() if spec.type == "secret" and spec.required]
    if "credential" not in given or "credential" in specs or len(secrets) != 1:
        return dict(given)
    if secrets[0] in given:
        raise InvalidInput(f"credential means the same as {secrets[0]}: give one of them")
    value = given["credential"]
    text = value if isinstance(value, str) else write_json(value)
    return {secrets[0]: text, **{name: each for name, each in given.items() if name != "credential"}}


def _provider(at: Runtime, name: str) -> str:
    return provider_name(load_providers(at.services.configs_dir), name)
