"""Request and answer bodies, beyond the engine's own views. Unknown fields are refused by name."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from convergence.domain.quota import Limits
from convergence.domain.times import to_text
from convergence.tenants.api_keys import ApiKey
from convergence.tenants.credentials import Credential
from convergence.tenants.orgs import Org

COUNT_MAX: Final = 1_000_000
Scope = Literal["run", "read", "admin"]
ProfileValue = Annotated[str, Field(max_length=2_000)] | int | float | bool | None
Profile = dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,99}$")], ProfileValue]
Title = Annotated[str, Field(max_length=200)]


Force = Annotated[bool, Field(description="Also for days in the future, or more than ten years of them.")]


class Asked(BaseModel):
    """A body, with strict types: `false` is not a number of hours."""

    model_config = ConfigDict(extra="forbid", strict=True)


class LimitsBody(Asked):
    """Limits set by an external billing system."""

    daily: int = Field(ge=1, le=COUNT_MAX)
    monthly: int = Field(ge=1, le=COUNT_MAX)
    concurrent: int = Field(ge=1, le=COUNT_MAX)

    def limits(self) -> Limits:
        """Return them as the engine knows them."""
        return Limits(daily=self.daily, monthly=self.monthly, concurrent=self.concurrent)


class OnboardBody(Asked):
    """A new org; `org_slug` is the older name of `slug`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"slug": "acme", "name": "Acme Inc.", "plan": "STARTER"}]},
    )

    slug: str = Field(pattern=r"^[a-z][a-z0-9_]{2,49}$", validation_alias=AliasChoices("slug", "org_slug"))
    name: Title = ""
    plan: Title = "STARTER"
    status: Literal["ACTIVE", "TRIAL", "SUSPENDED"] = "ACTIVE"
    profile: Profile = Field(default_factory=dict)


class PatchBody(Asked):
    """Only the given fields change; a null removes a profile entry."""

    name: Title | None = None
    plan: Title | None = None
    limits: LimitsBody | None = None
    profile: Profile = Field(default_factory=dict)


class SubscriptionBody(Asked):
    """The billing system's status of the subscription, and its plan or limits."""

    status: Literal["trialing", "active", "past_due", "paused", "incomplete", "canceled"]
    plan: Title | None = None
    limits: LimitsBody | None = None


class KeyBody(Asked):
    """A new key."""

    name: Title = ""
    scopes: list[Scope] = Field(default=["run", "read", "admin"], min_length=1, max_length=10)
    expires_in_days: float | None = Field(default=None, gt=0, le=3650)


class RotateBody(Asked):
    """How long the old key stays valid beside the new one."""

    overlap_hours: float = Field(default=24, ge=0, le=24 * 30)


class ReplayBody(Asked):
    """`parameters` edit those that the run had; `latest` reads the pipeline's file again. `applied` decides per step
    about writes that took effect with different input: `keep` accepts them, `again` writes a second time."""

    parameters: dict[str, Any] | None = None
    latest: bool = False
    force: Force = False
    applied: dict[str, Literal["keep", "again"]] = Field(default_factory=dict, max_length=1000)


class Accepted(BaseModel):
    """A run that was accepted: `pending` until its first step starts."""

    run_id: str = Field(examples=["run_5f0c2d9a4be1c7d83f60"])
    status: str = Field(examples=["pending"])


class Cancelled(BaseModel):
    """`success` is False for a run that had ended before."""

    success: bool
    status: str


class OrgAnswer(BaseModel):
    """An org."""

    slug: str
    name: str
    status: str
    subscription: str
    plan: str
    limits: dict[str, int]
    profile: dict[str, Any]
    created_at: str


class KeyAnswer(BaseModel):
    """A key, without its text."""

    key_id: str
    name: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class NewKey(KeyAnswer):
    """A new key. `api_key` is shown here and nowhere else."""

    api_key: str


class Onboarded(BaseModel):
    """A new org with its first key, which is shown here and nowhere else."""

    org: OrgAnswer
    dataset: str
    api_key: str


class CredentialAnswer(BaseModel):
    """A stored credential; nothing of its text."""

    credential_id: str
    provider: str
    name: str
    status: str
    default: bool


def org_data(org: Org) -> dict[str, Any]:
    """Return an `OrgAnswer`."""
    known = org.to_data()
    return {name: known[name] for name in OrgAnswer.model_fields}


def key_data(key: ApiKey) -> dict[str, Any]:
    """Return a `KeyAnswer`."""
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": to_text(key.created_at),
        "expires_at": _text(key.expires_at),
        "revoked_at": _text(key.revoked_at),
    }


def credential_data(credential: Credential, org: Org) -> dict[str, Any]:
    """Return a `CredentialAnswer`."""
    return {
        "credential_id": credential.credential_id,
        "provider": credential.provider,
        "name": credential.name,
        "status": credential.status,
        "default": org.default_credentials.get(credential.provider) == credential.credential_id,
    }


def _text(at: datetime | None) -> str | None:
    return None if at is None else to_text(at)
