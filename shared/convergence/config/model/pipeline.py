"""The one normalised model of a pipeline. What a user may write is wider: `dialects` translates it.

Nothing here depends on YAML or on older forms. Times are in seconds, lists are tuples, a schedule is a cron.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from convergence.domain.plan import Trigger

ParameterType = Literal["string", "integer", "number", "boolean", "date", "list", "object", "secret"]

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=100)]
Text = Annotated[str, Field(max_length=10_000)]
Texts = Annotated[tuple[str, ...], Field(strict=False)]

STEPS_MAX: Final = 5_000
BLOCKS: Final[tuple[str, ...]] = (
    "config",
    "source",
    "destination",
    "transform",
)  # of a step; its processor defines their shape


class Model(BaseModel):
    """Strict, frozen, closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Retry(Model):
    """How often a step is tried, including the first time; 1 = no retry. The wait doubles, with jitter."""

    max_attempts: int = Field(default=1, ge=1, le=20)
    backoff_seconds: float = Field(default=1.0, ge=0, le=3600)


class Blackout(Model):
    """A time without firings: dates or times in the schedule's zone, the end not included."""

    start: datetime
    end: datetime
    reason: Text = ""


class Schedule(Model):
    """When the pipeline runs by itself: a cron expression in a time zone, and what becomes of missed times."""

    cron: str
    timezone: str = "UTC"
    enabled: bool = True
    jitter_minutes: int = Field(default=0, ge=0, le=1440)
    starting_deadline_s: int = Field(default=86_400, ge=60, le=31_536_000)
    missed: Literal["all", "last", "none"] = "last"
    overlap: Literal["skip", "queue", "cancel_running"] = "skip"
    queue_max: int = Field(default=1, ge=1, le=100)
    start: datetime | None = None
    end: datetime | None = None
    blackouts: Annotated[tuple[Blackout, ...], Field(strict=False, max_length=100)] = ()
    parameters: Mapping[str, Any] = Field(default_factory=dict)


class ParameterSpec(Model):
    """What a caller may give. A `secret` is sealed by the engine and never stored in plain text; it has no default."""

    type: ParameterType = "string"
    required: bool = False
    default: Any = None
    allowed: Annotated[tuple[Any, ...] | None, Field(strict=False)] = None
    description: Text = ""


class Execution(Model):
    """`run_once`: once per org, until a caller gives `force_param` as true."""

    run_once: bool = False
    force_param: str | None = None


class Notifications(Model):
    """Names of channels."""

    on_success: Texts = ()
    on_failure: Texts = ()
    on_completion: Texts = ()


class Step(Model):
    """One step. `config`, `source`, `destination` and `transform` belong to its processor and keep its shape.

    `enabled` is a template when it is text. With `trigger` the step is an end step: it is outside the graph and is
    started once, when the run has ended.
    """

    step_id: Name
    ps_type: str
    name: Text = ""
    description: Text = ""
    depends_on: Texts = ()
    timeout_s: float = Field(default=600.0, gt=0, le=86_400)
    retry: Retry = Retry()
    on_failure: Literal["stop", "continue"] = "stop"
    enabled: bool | str = True
    when: str | None = None
    trigger: Trigger | None = None
    config: Mapping[str, Any] = Field(default_factory=dict)
    source: Mapping[str, Any] | None = None
    destination: Mapping[str, Any] | None = None
    transform: Mapping[str, Any] | None = None


class Next(Model):
    """A pipeline that runs after this one, with parameters of its own; the days of this run are passed on."""

    pipeline: Annotated[str, Field(min_length=1, max_length=300)]
    parameters: Mapping[str, Any] = Field(default_factory=dict)


class Then(Model):
    """What runs after this pipeline, by its outcome."""

    on_success: Annotated[tuple[Next, ...], Field(strict=False, max_length=20)] = ()
    on_failure: Annotated[tuple[Next, ...], Field(strict=False, max_length=20)] = ()

    @model_validator(mode="before")
    @classmethod
    def _by_outcome(cls, value: Any) -> Any:
        if not isinstance(value, str | list):
            return value
        named = value if isinstance(value, str) else next((each for each in value if isinstance(each, str)), "")
        raise ValueError(
            f"then must say after which outcome: then: {{on_success: [{named[:100] or 'acme/usage/daily'}]}}"
        )


class Pipeline(Model):
    """A pipeline. `path` is its identity (`openai/cost/usage_cost`), `aliases` are other paths that lead to it."""

    path: str
    pipeline_id: str
    aliases: Texts = ()
    name: Text = ""
    description: Text = ""
    provider: str
    domain: str = ""
    version: str = ""
    timeout_s: float = Field(default=1800.0, gt=0, le=604_800)
    variables: Mapping[str, Any] = Field(default_factory=dict)
    parameters: Mapping[str, ParameterSpec] = Field(default_factory=dict)
    steps: Annotated[tuple[Step, ...], Field(strict=False, min_length=1, max_length=STEPS_MAX)]
    schedule: Schedule | None = None
    execution: Execution = Execution()
    then: Then = Then()
    notifications: Notifications = Notifications()
    requires_auth: bool = True
    auth_type: str = "org_api_key"
    tags: Texts = ()
    category: str = ""
    integration_required: Texts = ()
    output_tables: Texts = ()
    rate_limit_per_minute: int | None = Field(default=None, ge=1)
    default_date_offset: int = Field(default=-1, ge=-3660, le=0)  # days from the fire date to the default date
    lookback_days: int = Field(default=0, ge=0, le=90)  # before a firing's own day, run again at each firing
    strict_names: bool = False  # the file declares its parameters: other template names are mistakes
