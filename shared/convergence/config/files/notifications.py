"""Default notifications: end steps that are added to plans without end steps of their own.

The defaults come from `configs/notifications/config.json`, and `{org}.json` beside it for one org. A pipeline's
`notifications` overrides them for its runs, and so does the org's profile: `notify_channels` (email, slack, none),
`notify_emails`, `notify_slack_channel`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from convergence.config.templates.template import escape, parse
from convergence.domain.plan import Plan, PlanStep, Trigger

FILE: Final = "notifications/config.json"
EVENTS: Final[Mapping[str, Trigger]] = {"pipeline_failure": "on_failure", "pipeline_success": "on_success"}
CHANNELS: Final = {"email": "notify_systems.email_notification", "slack": "notify_systems.slack_notification"}
# Codes of failures that the pipeline does not cause: time limits, crashes, storage, the cloud.
_CHECKS: Final = ("generic.dq_check", "generic.focus_gate")  # of the event data_quality_failure
_SYSTEM: Final = ("run.timeout", "step.crashed_often", "internal", "transient", "storage.", "cloud.")
_SUBJECT: Final = "{pipeline_id} {status}"
_MESSAGE: Final = "{pipeline_id} of {org_slug}: {status}. {error_message}\nRun {run_id}, started {started_at}."
_KEYS: Final = {
    "email": ("to_emails", "cc_emails", "from_name"),
    "slack": ("channel", "secret", "allow_private_addresses"),
}


class NotificationsFile:
    """`configs/notifications/config.json`, and `{org}.json` beside it for an org; read again when they change."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[Path, tuple[tuple[int, int], Mapping[str, Any]]] = {}

    def settings(self, org: str = "") -> Mapping[str, Any]:
        """Return the settings; an org's own override the shared ones.

        A file that is absent or invalid counts as empty: it must not stop a run.
        """
        shared = self._of(self._root / FILE)
        own = self._of((self._root / FILE).with_name(f"{org}.json")) if org else {}
        merged = {**shared, **own}
        for channel in CHANNELS:
            if shared.get(channel) and own.get(channel):
                merged[channel] = {**shared[channel], **own[channel]}
        return merged

    def _of(self, file: Path) -> Mapping[str, Any]:
        try:
            stat = file.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if file not in self._read or self._read[file][0] != stamp:
                from convergence.config.files.notification_models import (
                    NotificationSettings,  # a model that most runs never need
                )

                found = json.loads(file.read_bytes())
                NotificationSettings.model_validate(found)
                self._read[file] = (stamp, found)
        except (OSError, ValueError):  # `validate` reports what is wrong with it
            return {}
        return self._read[file][1]


def with_notifications(
    plan: Plan, settings: Mapping[str, Any], chosen: Mapping[str, Sequence[str]], profile: Mapping[str, Any]
) -> Plan:
    """Return the plan with an end step for each outcome that its own end steps do not cover.

    `settings` is the file, `chosen` the pipeline's `notifications`, `profile` the org's.
    """
    if not settings.get("enabled", bool(settings)):
        return plan
    added: list[PlanStep] = []
    for event, trigger in EVENTS.items():
        if not {step.trigger for step in plan.end_steps}.isdisjoint({trigger, "on_completion", "always"}):
            continue
        channels = _channels(settings, event, chosen.get(trigger, ()), profile)
        added += [_end_step(channel, trigger, settings, profile, event) for channel in channels if channel in CHANNELS]
        if trigger == "on_failure":
            for kind, only in _kinds_of_failure(plan).items():
                named = [] if chosen.get(trigger) else _channels(settings, kind, (), profile)
                further = [channel for channel in named if channel in CHANNELS and channel not in channels]
                added += [_end_step(channel, trigger, settings, profile, kind, only) for channel in further]
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


def _kinds_of_failure(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return the events that cover some failures only, with what the notifier is given to tell them apart."""
    checks = [step.step_id for step in plan.steps if step.ps_type in _CHECKS]
    return {"data_quality_failure": {"only_steps": checks}, "system_error": {"only_codes": list(_SYSTEM)}}


def _end_step(
    channel: str,
    trigger: Trigger,
    settings: Mapping[str, Any],
    profile: Mapping[str, Any],
    event: str,
    only: Mapping[str, Any] | None = None,
) -> PlanStep:
    given = {key: settings[key] for key in ("from_name", "subject_prefix") if key in settings}
    given |= settings.get(channel) or {}
    config = {key: given[key] for key in _KEYS[channel] if key in given}
    if channel == "email" and profile.get("notify_emails"):
        config["to_emails"] = str(profile["notify_emails"])
    if channel == "slack" and profile.get("notify_slack_channel"):
        config["channel"] = str(profile["notify_slack_channel"])
    if cooldown := _cooldown(settings, event, channel):
        config["cooldown_seconds"] = cooldown
    config |= {"subject": None, "message": None, "skip_unless_set_up": True}
    prefix = str(given.get("subject_prefix") or "").strip()
    texts = {"subject": f"{escape(prefix)} {_SUBJECT}".strip(), "message": _MESSAGE}
    if only:
        config |= {**only, "failed_step": None, "error_code": None}
        texts |= {"failed_step": "{failed_step}", "error_code": "{error_code}"}
    attempts, backoff_s = _retry(settings.get("retry_config") or {})
    return PlanStep(
        step_id=f"notify_{channel}_{event if only else trigger}",
        ps_type=CHANNELS[channel],
        name=f"Default notification by {channel}",
        timeout_s=float(settings.get("timeout_seconds", 30)),
        attempts_max=attempts,
        backoff_s=backoff_s,
        trigger=trigger,
        config={"config": config},
        deferred=tuple([["config", key], _parts(text), False] for key, text in texts.items()),
        where=FILE,
    )


def _cooldown(settings: Mapping[str, Any], event: str, channel: str) -> int:
    rules = [rule for rule in settings.get("event_triggers", ()) if rule.get("event") == event]
    named = [rule for rule in rules if channel in rule.get("providers", (channel,))]
    return max((int(rule.get("cooldown_seconds", 0)) for rule in named), default=0)


def _retry(given: Mapping[str, Any]) -> tuple[int, float]:
    """Return attempts and the first wait; `max_retries` counts what follows the first attempt."""
    attempts = given["max_attempts"] if "max_attempts" in given else given.get("max_retries", 2) + 1
    words = ("backoff_seconds", "initial_delay_seconds", "retry_delay_seconds", "delay_seconds")
    return int(attempts), float(next((given[word] for word in words if word in given), 5.0))


def _parts(text: str) -> list[Any]:
    template = parse(text)
    assert template is not None, "both texts name something"
    return [part if isinstance(part, str) else {"name": part.name} for part in template.parts]
