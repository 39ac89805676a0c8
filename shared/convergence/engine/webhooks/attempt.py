"""One request to a receiver: signed, bounded in time, to an address that was checked; and its outcome, in words.

What is recorded names the receiver's host at most: an address may hold a secret. An answer's body is not read.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from convergence.config.settings.environments import SHORT
from convergence.domain.addresses import DEFAULT_REACH
from convergence.domain.webhook import Webhook
from convergence.domain.webhook_delivery import TEST_EVENT, Attempt, WebhookDelivery, signature
from convergence.engine.services import Services
from convergence.engine.webhooks.target import check_target
from convergence.errors import ConvergenceError
from convergence.ports.http.waits import retry_after_s
from convergence.tenants.webhooks import open_secret

CONNECT_S: Final = 5.0
ANSWER_S: Final = 10.0
ATTEMPT_S: Final = 20.0  # all of it, the name's look-up and opening the secrets included; less than a claim holds
_ERROR_MAX: Final = 300


class Outcome(NamedTuple):
    """What came of an attempt; `final`: it was the last one. `asked_s` is the pause that the receiver asks for."""

    attempt: Attempt
    final: bool = False
    asked_s: float = 0.0


async def attempt(services: Services, webhook: Webhook | None, delivery: WebhookDelivery) -> Outcome:
    """Send a delivery once. Never raises for what the receiver or its address does."""
    import httpx  # heavy, and most processes send nothing

    began = services.clock.now()
    status: int | None = None
    error, final, asked_s = "", False, 0.0
    if webhook is None:
        error, final = "the webhook was deleted", True
    elif not webhook.enabled and delivery.event_type != TEST_EVENT:
        error = "the webhook is switched off"
    else:
        try:
            async with asyncio.timeout(ATTEMPT_S):
                status, asked_s = await _send(services, webhook, delivery)
        except TimeoutError:
            error = f"no answer within {ATTEMPT_S:g} seconds"
        except httpx.TimeoutException:
            error = f"no connection within {CONNECT_S:g} or no answer within {ANSWER_S:g} seconds"
        except (httpx.HTTPError, httpx.InvalidURL) as broken:
            error = f"the receiver cannot be reached ({type(broken).__name__})"
        except ConvergenceError as refused:  # an address that may not be called, or secrets that cannot be opened now
            error = str(refused).partition(";")[0][:_ERROR_MAX]
        else:
            error = "" if 200 <= status < 300 else _refusal(status)
    took_ms = max(0, int((services.clock.now() - began).total_seconds() * 1000))
    return Outcome(Attempt(at=began, duration_ms=took_ms, status_code=status, error=error), final, asked_s)


async def _send(services: Services, webhook: Webhook, delivery: WebhookDelivery) -> tuple[int, float]:
    """Return the receiver's status code, and the pause in seconds that it asks for."""
    import httpx

    check_target(webhook.url, production=services.env == SHORT["production"])
    now, body = services.clock.now(), delivery.body.encode()
    secrets = [
        await open_secret(services.keyring, delivery.org, webhook.webhook_id, each) for each in webhook.signing(now)
    ]
    headers = {
        "content-type": "application/cloudevents+json",
        "user-agent": "Convergence-Webhooks/1",
        "convergence-delivery": delivery.delivery_id,
        "convergence-event": delivery.event_type,
        "convergence-attempt": str(delivery.attempts),
        "convergence-signature": signature(secrets, now, body),
    }
    request = services.http().stream(
        "POST",
        webhook.url,
        content=body,
        headers=headers,
        timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
        extensions={"reach": DEFAULT_REACH},
    )
    async with request as answer:  # its body comes from a third party and is not read; the connection ends with it
        return answer.status_code, retry_after_s(answer.headers, now.timestamp()) or 0.0


def _refusal(status: int) -> str:
    return f"the receiver answers {status}" + ("; redirects are not followed" if 300 <= status < 400 else "")
