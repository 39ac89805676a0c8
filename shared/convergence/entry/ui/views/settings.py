"""The settings of an org: credentials, keys, notifications, webhooks, and what it has used of its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from convergence.config.loader import LoadedPipeline
from convergence.engine.services import Services
from convergence.engine.views.quota import QuotaView, quota_view
from convergence.engine.webhooks.change import webhooks_of
from convergence.entry.ui.views.notifications import Notifications, notifications_of
from convergence.tenants.api_keys import ApiKey, ApiKeyStore
from convergence.tenants.credentials import Credential
from convergence.tenants.orgs import Org

_SETUP: Final = "/auth/setup"
_VALIDATE: Final = "/auth/validate"


@dataclass(frozen=True, slots=True)
class Integration:
    """A provider that can be connected. `setup` and `validate` are paths of pipelines, empty where there is none."""

    provider: str
    setup: str
    validate: str
    credentials: Sequence[Credential]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsPage:
    """The page; `keys` is None for a visitor who may not see them."""

    org: Org
    integrations: Sequence[Integration]
    quota: QuotaView
    keys: Sequence[ApiKey] | None
    notifications: Notifications
    webhooks: int
    now: datetime


async def settings_page(
    services: Services, keys: ApiKeyStore, slug: str, pipelines: Sequence[LoadedPipeline], *, with_keys: bool
) -> SettingsPage:
    """Return the page. Raises `NotFound` for an org that does not exist."""
    org = await services.orgs.get(slug)
    stored = await services.credentials.all(slug)
    paths = {each.path for each in pipelines}
    providers = {path.removesuffix(_SETUP) for path in paths if path.endswith(_SETUP)} | {
        each.provider for each in stored
    }
    return SettingsPage(
        org=org,
        integrations=[
            Integration(
                name,
                name + _SETUP if name + _SETUP in paths else "",
                name + _VALIDATE if name + _VALIDATE in paths else "",
                [each for each in stored if each.provider == name],
            )
            for name in sorted(providers)
        ],
        quota=await quota_view(services, org),
        keys=await keys.all(slug) if with_keys else None,
        notifications=notifications_of(services, org),
        webhooks=len(await webhooks_of(services, slug)),
        now=services.clock.now(),
    )
