"""Models of alert rules, of notifiers, and of who is notified of what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from convergence.config.cron import check_cron, zone
from convergence.config.files.model_bases import Closed, Open, Texts
from convergence.errors import InvalidInput


class _Cron(Closed):
    cron: str
    timezone: str = "UTC"
    enabled: bool = True

    @model_validator(mode="after")
    def _fires(self) -> _Cron:
        wrong = check_cron(self.cron)
        if wrong:
            raise ValueError(wrong)
        try:
            zone(self.timezone)
        except InvalidInput as error:
            raise ValueError(str(error)) from error
        return self


class _AlertSource(Open):
    type: str
    query_template: str | None = None
    params: Mapping[str, Any] = Field(default_factory=dict)


class _Condition(Open):
    field: str
    operator: Literal["gt", "gte", "lt", "lte", "eq", "ne", "in", "not_in", "between", "is_null", "is_not_null"]
    value: Any = None
    unit: str | None = None


class _Cooldown(Closed):
    enabled: bool = True
    hours: float = Field(default=24, gt=0)
    scope: str = "org"


class _AlertNotification(Open):
    template: str | None = None
    severity: Literal["info", "warning", "error", "critical"] = "warning"
    channels: Texts = ("email",)


class Alert(Closed):
    """One alert rule: when to check, what, and who is notified."""

    id: str
    name: str = ""
    description: str = ""
    enabled: bool = True
    schedule: _Cron
    source: _AlertSource
    conditions: Annotated[tuple[_Condition, ...], Field(strict=False, min_length=1)]
    recipients: Mapping[str, Any] = Field(default_factory=dict)
    notification: _AlertNotification = _AlertNotification()
    cooldown: _Cooldown = _Cooldown()
    tags: Texts = ()


class Alerts(Closed):
    """`alerts/*.yml`."""

    version: str | float | int = "1.0"
    alerts: Annotated[tuple[Alert, ...], Field(strict=False)]

    @model_validator(mode="after")
    def _ids_differ(self) -> Alerts:
        ids = [alert.id for alert in self.alerts]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"alert ids must differ: {', '.join(twice)}")
        return self


class Notifier(Open):
    """`notify_systems/*/config.yml`: what a notification processor asks for."""

    ps_type: str
    name: str
    required_params: Texts = ()
    optional_params: Texts = ()
    supported_triggers: Annotated[
        tuple[Literal["on_failure", "on_success", "on_completion", "always"], ...], Field(strict=False)
    ] = ()


class _EventTrigger(Closed):
    event: str
    enabled: bool = True
    severity: Literal["info", "warning", "error", "critical"] = "info"
    providers: Texts = ()
    cooldown_seconds: int = Field(default=0, ge=0)


class _RetryConfig(Open):
    max_attempts: int | None = Field(default=None, ge=1, le=20)
    max_retries: int | None = Field(default=None, ge=0, le=19)
    backoff_seconds: float | None = Field(default=None, ge=0, le=3600)
    initial_delay_seconds: float | None = Field(default=None, ge=0, le=3600)
    retry_delay_seconds: float | None = Field(default=None, ge=0, le=3600)
    delay_seconds: float | None = Field(default=None, ge=0, le=3600)


class NotificationSettings(Open):
    """`notifications/config.json`, and `notifications/{org}.json`."""

    enabled: bool = True
    default_provider: str = "email"
    email: Mapping[str, Any] | None = None
    slack: Mapping[str, Any] | None = None
    event_triggers: Annotated[tuple[_EventTrigger, ...], Field(strict=False)] = ()
    timeout_seconds: float = Field(default=30, gt=0)
    from_name: str = ""
    subject_prefix: str = ""
    retry_config: _RetryConfig | None = None
