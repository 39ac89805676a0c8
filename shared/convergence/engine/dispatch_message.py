"""Runs that are requested by a message: by a schedule, a backfill or another pipeline (docs/messages.md).

The bus controls who may publish to the topic (on Google Cloud our own service accounts only); so a message names its
org and carries no key.
"""

from __future__ import annotations

import json
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, Self

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from convergence.domain.model_errors import message_of
from convergence.engine.check_days import check_days
from convergence.engine.dead_letter import keep_unreadable
from convergence.engine.dispatch import dispatch
from convergence.engine.messages import message
from convergence.engine.prepare_run import RunRequest
from convergence.engine.services import Services
from convergence.errors import ConfigError, ConvergenceError, InvalidInput, NotFound
from convergence.ports.bus import Ack, Answer, Delivery, Message, Retry

KIND: Final = "dispatch"  # attribute; distinguishes dead letters of this topic from those of steps
HIDDEN: Final = "[secret]"
Trigger = Literal["schedule", "backfill", "chain", "event"]


class DispatchMessage(BaseModel):
    """The request for one run. The same idempotency key gives the same run, however often the message comes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    org: str = Field(pattern=r"^[a-z][a-z0-9_]{2,49}$", description="The org's slug.")
    pipeline: Annotated[str, Field(min_length=1, max_length=300, description="The pipeline's path or alias.")]
    trigger: Trigger = Field(description="What requested the run; stored in the run's document.")
    idempotency_key: str = Field(
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="One per intended run, such as a schedule's id with its fire time.",
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="The pipeline's parameters; none of type secret: a message is not a safe place.",
    )
    credential_id: str = Field(default="", max_length=200, description="The credential of the whole run.")
    fire_time: AwareDatetime | None = Field(
        default=None, description="The time that default dates are computed from; without it, when the run is created."
    )
    force: bool = Field(
        default=False,
        description="True where days in the future, before 1970, or more than ten years of them are intended.",
    )

    def encode(self) -> Message:
        """Return the message to publish."""
        return message(self.model_dump_json(exclude_defaults=True).encode(), org=self.org, kind=KIND)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Parse a message's data. Raises `InvalidInput` that names each wrong field, without values."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            faults = (
                f"{'.'.join(map(str, each['loc'])) or 'the message'}: {message_of(each)}" for each in error.errors()
            )
            raise InvalidInput(f"not a dispatch message: {'; '.join(faults)}") from None

    def request(self) -> RunRequest:
        """Return the request for the engine.

        The key gets a space, which a caller of the API cannot send: so a schedule's run id cannot be taken beforehand.
        """
        return RunRequest(
            org=self.org,
            pipeline=self.pipeline,
            parameters=self.parameters,
            credential_id=self.credential_id,
            trigger=self.trigger,
            idempotency_key=f"{self.trigger} {self.idempotency_key}",
            fire_time=self.fire_time,
        )


async def on_dispatch(services: Services, delivery: Delivery) -> Answer:
    """Handle one message of the topic `dispatch`.

    A message that waits for something other than an edit (a quota, a lock, the store) is retried; one that is refused
    permanently becomes a dead letter with the reason.
    """
    try:
        expected = DispatchMessage.decode(delivery.message.data)
    except InvalidInput as error:
        await keep_unreadable(services, delivery, str(error))
        return Ack()
    try:
        _refuse_secrets(services, expected)
        if not expected.force:
            check_days(services, expected.pipeline, expected.parameters)
        await dispatch(services, expected.request())
    except ConvergenceError as error:
        if _passes(error):
            return Retry(str(error))
        reason = f"{expected.org}/{expected.pipeline} ({expected.trigger}): {error}"
        await keep_unreadable(services, _without_secrets(services, expected, delivery), reason, code=error.code)
    return Ack()


def schema_text() -> str:
    """Return the schema (JSON Schema 2020-12) as it is written to `docs/dispatch.schema.json`."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **DispatchMessage.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _passes(error: ConvergenceError) -> bool:
    status = error.http_status
    return status in (HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS) or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _refuse_secrets(services: Services, expected: DispatchMessage) -> None:
    names = sorted(_secrets(services, expected))
    if names:
        raise InvalidInput(f"secret parameters do not travel in messages: {', '.join(names)}; store a credential")


def _secrets(services: Services, expected: DispatchMessage) -> set[str]:
    specs = services.catalog.get(expected.pipeline).pipeline.parameters
    return {name for name in expected.parameters if name in specs and specs[name].type == "secret"}


def _without_secrets(services: Services, expected: DispatchMessage, delivery: Delivery) -> Delivery:
    """Return the delivery as a dead letter may store it."""
    try:
        names = _secrets(services, expected)
    except (NotFound, ConfigError):  # it is unknown which parameters are secret: then all may be
        names = set(expected.parameters)
    if not names:
        return delivery
    shown = {name: HIDDEN if name in names else value for name, value in expected.parameters.items()}
    data = orjson.dumps(orjson.loads(delivery.message.data) | {"parameters": shown})
    return replace(delivery, message=delivery.message._replace(data=data))
