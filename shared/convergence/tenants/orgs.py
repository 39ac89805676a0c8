"""Orgs: the tenants. Every path of a tenant's document begins with its slug."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Self

from convergence.domain.quota import Limits
from convergence.domain.records import StoredRecord, from_stored
from convergence.domain.times import to_text
from convergence.errors import Conflict, Denied, InvalidInput, NotFound, did_you_mean
from convergence.ports.documents import Create, Documents, Order, Replace, Write
from convergence.tenants.schedule_requests import schedule_request

UNKNOWN_ORG: Final = "Unknown org"
SLUG: Final = re.compile(r"[a-z][a-z0-9_]{2,49}")
RUNNABLE: Final = frozenset({"ACTIVE", "TRIAL"})
_ATTEMPTS: Final = 8
_STATUS: Final[Mapping[str, str]] = {  # how a billing system's statuses affect an org
    "trialing": "TRIAL",
    "active": "ACTIVE",
    "past_due": "SUSPENDED",
    "paused": "SUSPENDED",
    "incomplete": "SUSPENDED",
    "canceled": "CANCELLED",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Org(StoredRecord):
    """The content of `orgs/{slug}`. `profile` feeds templates (admin_email, billing_export_table, …).

    `status` is set by the operator (ACTIVE, SUSPENDED), `subscription` by the billing system (ACTIVE, TRIAL, SUSPENDED,
    CANCELLED); `plan` names the source of the limits; empty when they were set by hand.
    """

    slug: str
    name: str
    status: str
    limits: Limits
    created_at: datetime
    profile: Mapping[str, Any] = field(default_factory=dict)
    default_credentials: Mapping[str, str] = field(default_factory=dict)  # provider → credential id
    subscription: str = "ACTIVE"
    plan: str = ""
    weight: float = 1.0  # the org's share where orgs compete for the same places; the plan's
    demo: bool = False  # its credentials are the sandbox's, so none of its schedules run
    paused_pipelines: Mapping[str, str] = field(default_factory=dict)  # path → reason; none of their runs starts
    token: str = ""

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        return {
            **self.unknown,
            "slug": self.slug,
            "name": self.name,
            "status": self.status,
            "limits": self.limits.to_data(),
            "created_at": to_text(self.created_at),
            "profile": self.profile,
            "default_credentials": self.default_credentials,
            "subscription": self.subscription,
            "plan": self.plan,
            "weight": self.weight,
            "demo": self.demo,
            "paused_pipelines": self.paused_pipelines,
            "token": self.token,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        return from_stored(cls, data)


def not_runnable(org: Org) -> str:
    """Return why the org may not run pipelines now; empty when it may."""
    if org.status not in RUNNABLE:
        return f"the org is {org.status}"
    return "" if org.subscription in RUNNABLE else f"the org's subscription is {org.subscription}"


def check_runnable(org: Org) -> None:
    """Raise `Denied` unless the org may run pipelines now."""
    if org.status not in RUNNABLE:
        raise Denied(f"Pipeline execution not allowed for {org.status} organizations")
    if org.subscription not in RUNNABLE:
        raise Denied(f"Organization subscription is {org.subscription}")


class OrgStore:
    """Orgs as documents."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def get(self, slug: str) -> Org:
        """Return the org. Raises `NotFound`."""
        document = await self._documents.get(f"orgs/{slug}") if SLUG.fullmatch(slug) else None
        if document is None:
            raise NotFound(f"{UNKNOWN_ORG}: {slug!r}. Create it with: convergence org create {slug}")
        return Org.from_data(document.data)

    async def create(self, org: Org) -> None:
        """Store a new org. Raises `InvalidInput` for a bad slug, `Conflict` when it exists."""
        check_slug(org.slug)
        try:
            await self._documents.commit([Create(path(org.slug), org.to_data()), schedule_request(org.slug, "created")])
        except Conflict as error:
            raise Conflict(f"org {org.slug!r} exists already") from error

    async def change(self, slug: str, edit: Callable[[Org], Org], *, token: str, also: Sequence[Write] = ()) -> Org:
        """Store `edit` of the org, and `also` in the same commit; return the org.

        Raises `NotFound`; `Conflict` when other writers keep committing first.
        """
        for _ in range(_ATTEMPTS):
            document = await self._documents.get(path(slug)) if SLUG.fullmatch(slug) else None
            if document is None:
                raise NotFound(f"{UNKNOWN_ORG}: {slug[:100]!r}.")
            if document.data.get("token") == token:
                return Org.from_data(document.data)  # stored by an attempt whose answer was lost
            before = Org.from_data(document.data)
            edited = replace(edit(before), token=token)
            writes: list[Write] = [Replace(path(slug), document.version, edited.to_data()), *also]
            if (edited.status, edited.subscription) != (before.status, before.subscription):
                writes.append(schedule_request(slug, token))
            try:
                await self._documents.commit(writes)
            except Conflict:
                continue
            return edited
        raise Conflict(f"org {slug!r} is being changed by others; try again")

    async def slugs(self) -> list[str]:
        """Return all slugs, in order."""
        slugs: list[str] = []
        cursor: str | None = None
        while True:
            found, cursor = await self.slugs_page(500, cursor)
            slugs += found
            if cursor is None:
                return slugs

    async def slugs_page(self, limit: int, cursor: str | None) -> tuple[list[str], str | None]:
        """Return the next slugs, in order, and the cursor of those behind them, None for the last ones."""
        page = await self._documents.query("orgs", order=[Order("slug")], limit=limit, cursor=cursor)
        return [document.data["slug"] for document in page.documents], page.cursor


def check_slug(slug: str) -> None:
    """Raise `InvalidInput` unless `slug` may be an org's name."""
    if not SLUG.fullmatch(slug):
        raise InvalidInput(
            f"{slug[:100]!r} is not an org slug: 3 to 50 lower-case letters, digits and _, starting with a letter."
        )


def path(slug: str) -> str:
    """Return the path of an org's document."""
    return f"orgs/{slug}"


def subscription_status(word: str) -> str:
    """Return the status for a billing system's word. Raises `InvalidInput` for an unknown one."""
    if word not in _STATUS:
        raise InvalidInput(f"{word!r} is not a subscription status.{did_you_mean(word, _STATUS)}")
    return _STATUS[word]
