"""`notify_systems.slack_notification`: a message to a Slack incoming webhook, usually as an end step.

Plain HTTP instead of a library: the webhook's URL holds its secret and may be that of a compatible service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx
from pydantic import Field

from convergence.domain.addresses import Reach
from convergence.errors import CredentialRejected, StepFailed, Throttled, Transient
from convergence.ports.http.reach import unreachable
from convergence.ports.http.urls import checked_url
from convergence.ports.http.waits import retry_after_s
from convergence.ports.processor import NOT_SET_UP, SKIPPED, SUCCESS, Context
from convergence.processors.notify_systems.notice import Notice, page_of
from convergence.processors.settings import CredentialSettings, settings

SERVICE: Final = "Slack"
_BYTES_MAX: Final = 2**20  # of an answer, which is "ok"


class SlackSettings(Notice, CredentialSettings):
    """`webhook_url`, or `secret`: the provider whose credential is the URL (by default the one of `slack`)."""

    message: str = Field(min_length=1, max_length=40_000)
    channel: str = ""
    webhook_url: str = ""
    secret: str = "slack"  # noqa: S105 - the name of a secret
    allow_private_addresses: bool = False

    def opens(self) -> Sequence[Sequence[str]]:
        """Return the stored webhook's name, where a step must have one."""
        return () if self.webhook_url or self.skip_unless_set_up else super().opens()


class SlackProcessor:
    """One message."""

    config_model = SlackSettings

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Post.

        Raises:
            CredentialRejected: the webhook no longer exists or refuses the message.
            Throttled, Transient: the engine may repeat the step.
        """
        options = settings(SlackSettings, step_config)
        if options.unsent:
            return {"status": SKIPPED, "why": options.unsent}
        try:
            url = _webhook(options.webhook_url or await context.secrets.open(options.secret))
        except StepFailed as error:
            if not options.skip_unless_set_up:
                raise
            return {"status": SKIPPED, NOT_SET_UP: str(error)}
        reach: Reach = "private" if options.allow_private_addresses else "public"
        text = f"*{options.subject}*\n{options.message}" if options.subject else options.message
        link = page_of(context)
        body = {
            "text": f"{text}\n{link}" if link else text,
            **({"channel": options.channel} if options.channel else {}),
        }
        try:
            answer = await context.http.post(url, json=body, extensions={"reach": reach, "bytes_max": _BYTES_MAX})
        except httpx.RequestError as error:
            raise Transient(f"{SERVICE} cannot be reached: {unreachable(error)}") from error
        status = answer.status_code
        if status in {401, 403, 404, 410}:
            raise CredentialRejected(f"{SERVICE}: the webhook refuses ({status}); make a new one and store it")
        if status == 429:
            raise Throttled(f"{SERVICE} answers 429", retry_after_s=retry_after_s(answer.headers, 0.0) or 1.0)
        if status >= 500:
            raise Transient(f"{SERVICE} answers {status}")
        if status != 200:
            raise StepFailed(f"{SERVICE}: the webhook answers {status}")
        return {"status": SUCCESS, "channel": options.channel}


def _webhook(text: str) -> httpx.URL:
    try:
        return checked_url(text.strip(), SERVICE)
    except StepFailed:
        # The URL is a secret: no message quotes it.
        raise StepFailed(f"{SERVICE}: the webhook's URL must begin with https:// and hold no user") from None


def get_engine() -> SlackProcessor:
    """Return the processor."""
    return SlackProcessor()
