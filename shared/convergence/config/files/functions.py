"""`functions/{name}/function.yaml`: the events that a deployed function receives, and the resources of its instances.

The only description of a function: the app reads its limits, and the infrastructure creates subscriptions from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from convergence.config.model.errors import problems_of
from convergence.config.model.pipeline import Model
from convergence.config.yaml.source import read_yaml
from convergence.errors import ConfigError, ConfigErrors

FILE: Final = "function.yaml"
_TOPIC: Final = r"^[a-z][a-z0-9-]*$"


# What a function's account may do (infra/accounts.tf): read and write the state; publish messages, except ticks; seal
# and open credentials; run jobs on the orgs' datasets; make datasets and stored procedures; append to the log tables.
Access = Literal["firestore", "publish", "credentials", "warehouse", "setup", "logs"]
Secret = Literal["CONVERGENCE_ROOT_KEY", "SMTP_PASSWORD"]  # settings whose values are in Secret Manager


class Trigger(Model):
    """A push subscription: messages of its topic arrive at `/push/{topic}`.

    Bounds are Pub/Sub's (API reference, Subscription): ack deadline 10–600 s, backoff 0–600 s, 5–100 deliveries before
    a message is moved to the dead-letter topic. Without that topic it is delivered until retention ends.
    """

    topic: str = Field(pattern=_TOPIC)
    ack_deadline_s: int = Field(ge=10, le=600)
    backoff_min_s: int = Field(ge=0, le=600)
    backoff_max_s: int = Field(ge=0, le=600)
    deliveries_max: int = Field(default=100, ge=5, le=100)
    dead_letter_topic: Annotated[str, Field(pattern=_TOPIC)] | None = None


class FunctionFile(Model):
    """One function. `http: public` opens it to callers without one of our Google identities: they send an API key.

    `extras` are those of the distribution that it needs besides `function`; its package holds nothing else. Its account
    has the rights that `access` names, and reads the `secrets`.

    `concurrency` is the largest number of requests that one instance works on at a time; more than one needs a whole
    CPU (Cloud Run, "Maximum concurrent requests").
    """

    name: str = Field(pattern=r"^[a-z][a-z_]*$", max_length=18)  # its account is convergence-{name}: 30 characters
    http: Literal["public", "private"] = "private"
    extras: Annotated[tuple[Literal["api", "files", "notify"], ...], Field(strict=False)] = ()
    access: Annotated[tuple[Access, ...], Field(strict=False)] = ()
    secrets: Annotated[tuple[Secret, ...], Field(strict=False)] = ()
    triggers: Annotated[tuple[Trigger, ...], Field(strict=False, min_length=1)]
    memory_mib: int = Field(ge=128, le=32_768)
    cpu: float = Field(gt=0, le=8, strict=False)
    timeout_s: int = Field(ge=1, le=3_600)
    concurrency: int = Field(ge=1, le=1_000)
    min_instances: int = Field(default=0, ge=0)
    max_instances: int = Field(ge=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.concurrency > 1 and self.cpu < 1:
            raise ValueError("concurrency over 1 needs a cpu of at least 1")
        for trigger in self.triggers:
            if trigger.ack_deadline_s <= self.timeout_s:
                raise ValueError(f"{trigger.topic}: the ack deadline must be longer than timeout_s")
            if trigger.backoff_min_s > trigger.backoff_max_s:
                raise ValueError(f"{trigger.topic}: backoff_min_s exceeds backoff_max_s")
        return self


def read_function(folder: Path, *, deployed: bool = False) -> FunctionFile:
    """Read the file of the function in `folder`, which has the function's name, except where it is `deployed`.

    Raises:
        ConfigErrors: every mistake, with line and column.
    """
    where = f"{folder.name}/{FILE}"
    source = read_yaml((folder / FILE).read_bytes(), where)
    try:
        found = FunctionFile.model_validate(source.data)
    except ValidationError as error:
        raise ConfigErrors([*source.problems, *problems_of(error, source.data, source.positions)]) from None
    if found.name != folder.name and not deployed:  # the platform calls every function's folder /workspace
        raise ConfigErrors([ConfigError(f"{found.name!r} is in a folder with another name", where=where, path="name")])
    return found
