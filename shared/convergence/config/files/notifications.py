"""Default notifications: end steps that are added to plans without end steps of their own.

The defaults come from `configs/notifications/config.json`. A pipeline's `notifications` overrides them for its runs,
and so does the org's profile: `notify_channels` (email, slack, none), `notify_emails`, `notify_slack_channel`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from convergence.config.templates.template import parse
from convergence.domain.plan import Plan, PlanStep, Trigger

FILE: Final = "notifications/config.json"
EVENTS: Final[Mapping[str, Trigger]] = {"pipeline_failure": "on_failure", "pipeline_success": "on_success"}
CHANNELS: Final = {"email": "notify_systems.email_notification", "slack": "notify_systems.slack_notification"}
_SUBJECT: Final = "{pipeline_id} {status}"
_MESSAGE: Final = "{pipeline_id} of {org_slug}: {status}. {error_message}\nRun {run_id}, started {started_at}."
_KEYS: Final = {"email": ("to_emails", "cc_emails"), "slack": ("channel", "secret", "allow_private_addresses")}


class NotificationsFile:
    """`configs/notifications/config.json`, read again when it changes."""

    def __init__(self, root: Path) -> None:
        self._file = root / FILE
        self._read: tuple[tuple[int, int], Mapping[str, Any]] | None = None

    def settings(self) -> Mapping[str, Any]:
        """Return the settings; empty without a file or with an invalid one, which must not stop a run."""
        try:
            stat = self._file.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if self._read is None or self._read[0] != stamp:
                from convergence.config.files.models import NotificationSettings  # a model that most runs never need

                found = json.loads(self._file.read_bytes())
                NotificationSettings.model_validate(found)
                self._read = (stamp, found)
        except (OSError, ValueError):  # `validate` reports what is wrong with it
            return {}
        return self._read[1]


def with_notifications(
    plan: Plan, settings: Mapping[str, Any], chosen: Mapping[str, Sequence[str]], profile: Mapping[str, Any]
) -> Plan:
    """Return the plan with an end step for each outcome that none of its own covers.

    `settings` is the file, `chosen` the pipeline's `notifications`, `profile` the org's.
    """
    if not settings.get("enabled", bool(settings)):
        return plan
    added: list[PlanStep] = []
    for event, trigger in EVENTS.items():
        if not {step.trigger for step in plan.end_steps}.isdisjoint({trigger, "on_completion", "always"}):
            continue
        channels = _channels(settings, event, chosen.get(trigger, ()), profile)
        added += [_end_step(channel, trigger, settings, profile) for channel in channels if channel in CHANNELS]
    return replace(plan, steps=(*plan.steps, *added)) if added else plan


def _channels(
    settings: Mapping[str, Any], event: str, chosen: Sequence[str], profile: Mapping[str, Any]
) -> Sequence[str]:
    """Return the channels of an event: the pipeline's, else the org's, else the file's; of an event that is enabled."""
    if chosen:
        return chosen
    rules = [rule for rule in settings.get("event_triggers", ()) if rule.get("event") == event]
    if not any(rule.get("enabled", True) for rule in rules):
        return ()
    if "notify_channels" in profile:
        return [name.strip().lower() for name in str(profile["notify_channels"]).split(",")]
    named = dict.fromkeys(name for rule in rules if rule.get("enabled", True) for name in rule.get("providers", ()))
    return list(named) or [settings.get("default_provider", "email")]


def _end_step(channel: str, trigger: Trigger, settings: Mapping[str, Any], profile: Mapping[str, Any]) -> PlanStep:
    given = settings.get(channel) or {}
    config = {key: given[key] for key in _KEYS[channel] if key in given}
    if channel == "email" and profile.get("notify_emails"):
        config["to_emails"] = str(profile["notify_emails"])
    if channel == "slack" and profile.get("notify_slack_channel"):
        config["channel"] = str(profile["notify_slack_channel"])
    config |= {"subject": None, "message": None, "skip_unless_set_up": True}
    texts = {"subject": _SUBJECT, "message": _MESSAGE}
    return PlanStep(
        step_id=f"notify_{channel}_{trigger}",
        ps_type=CHANNELS[channel],
        name=f"Default notification by {channel}",
        timeout_s=float(settings.get("timeout_seconds", 30)),
        attempts_max=3,
        backoff_s=5.0,
        trigger=trigger,
        config={"config": config},
        deferred=tuple([["config", key], _parts(text), False] for key, text in texts.items()),
        where=FILE,
    )


def _parts(text: str) -> list[Any]:
    template = parse(text)
    assert template is not None, "both texts name something"
    return [part if isinstance(part, str) else {"name": part.name} for part in template.parts]
