"""What an org's runs send by default when they end, and the entries of its profile that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from convergence.config.files.notifications import CHANNELS, with_notifications
from convergence.domain.plan import Plan
from convergence.engine.services import Services
from convergence.errors import InvalidInput
from convergence.processors.notify_systems.email_notification import ADDRESS, RECIPIENTS_MAX
from convergence.tenants.orgs import Org

NONE: Final = "none"
_TEXT_MAX: Final = 2_000
_WHEN: Final = {"on_failure": "a run fails", "on_success": "a run completes"}


@dataclass(frozen=True, slots=True)
class Notice:
    """One message that is sent by default. `to` is empty where the installation decides."""

    when: str
    channel: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """What is sent, and what the org's profile says; `channels` is None where it leaves that to the installation."""

    notices: Sequence[Notice]
    channels: Sequence[str] | None
    emails: str
    slack_channel: str


def notifications_of(services: Services, org: Org) -> Notifications:
    """Return what a pipeline sends that has no end steps and no notifications of its own."""
    nothing = Plan("", "", "", "", "", 0.0, ())
    plan = with_notifications(nothing, services.notifications(org.slug), {}, org.profile)
    chosen = org.profile.get("notify_channels")
    return Notifications(
        notices=[
            Notice(
                _WHEN.get(str(step.trigger), str(step.trigger)),
                next(name for name, ps_type in CHANNELS.items() if ps_type == step.ps_type),
                _to(step.config.get("config") or {}),
            )
            for step in plan.end_steps
        ],
        channels=None if chosen is None else [name.strip() for name in str(chosen).split(",")],
        emails=str(org.profile.get("notify_emails") or ""),
        slack_channel=str(org.profile.get("notify_slack_channel") or ""),
    )


def profile_of(channels: Sequence[str], emails: str, slack_channel: str) -> dict[str, str | None]:
    """Return the entries of a profile for what a form has; None removes one: the installation's default holds.

    Raises:
        InvalidInput: an unknown channel, none beside others, or an address that no mail can go to.
    """
    wrong = sorted(set(channels) - {*CHANNELS, NONE})
    if wrong or (NONE in channels and len(set(channels)) > 1):
        raise InvalidInput(f"channels must be among {', '.join(CHANNELS)}, or {NONE} alone")
    addresses = [part.strip() for part in emails.split(",") if part.strip()]
    bad = [each for each in addresses if not ADDRESS.fullmatch(each)]
    if bad:
        raise InvalidInput(f"{bad[0][:100]!r} is not a mail address; separate addresses with commas")
    if len(addresses) > RECIPIENTS_MAX:
        raise InvalidInput(f"a mail may go to at most {RECIPIENTS_MAX} addresses, not {len(addresses)}")
    if max(len(emails), len(slack_channel)) > _TEXT_MAX:
        raise InvalidInput(f"a field may have at most {_TEXT_MAX:,} characters")
    return {
        "notify_channels": ", ".join(dict.fromkeys(channels)) or None,
        "notify_emails": ", ".join(addresses) or None,
        "notify_slack_channel": slack_channel.strip() or None,
    }


def _to(config: Mapping[str, Any]) -> str:
    named = config.get("to_emails") or config.get("channel") or ""
    return named if isinstance(named, str) else ", ".join(map(str, named))
