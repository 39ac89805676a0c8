"""A delivery to a webhook: its pauses, its attempts, and the secrets that sign it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from convergence.domain.webhook import Webhook, WebhookSecret
from convergence.domain.webhook_delivery import LEASE_S, RETRIED_FOR, Attempt, DeliveryStatus, WebhookDelivery, pause_s

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NEW = WebhookDelivery(
    delivery_id="whd_1", org="acme", webhook_id="whk_1", event_id="r#1", event_type="run.failed", body="{}",
    created_at=T0, give_up_at=T0 + RETRIED_FOR, next_attempt_at=T0, token="t0",
)  # fmt: skip


def attempt(status: int | None, at: datetime = T0) -> Attempt:
    return Attempt(at=at, duration_ms=2_000, status_code=status, error="" if status else "no answer")


@pytest.mark.parametrize(
    ("attempts", "fraction", "asked_s", "pause"),
    [
        (1, 0.5, 0.0, 30.0),
        (1, 0.0, 0.0, 22.5),
        (1, 0.75, 0.0, 33.75),
        (2, 0.5, 0.0, 60.0),
        (8, 0.5, 0.0, 3_840.0),
        (9, 0.5, 0.0, 7_200.0),
        (5_000, 0.5, 0.0, 7_200.0),
        (1, 0.5, 31.0, 31.0),
        (1, 0.5, 29.0, 30.0),
        (1, 0.5, 9_000.0, 7_200.0),
    ],
)
def test_pauses_double_up_to_two_hours_and_a_receiver_may_ask_for_longer_ones(
    attempts: int, fraction: float, asked_s: float, pause: float
) -> None:
    assert pause_s(attempts, fraction, asked_s) == pause


def test_a_claim_holds_for_its_lease_and_names_its_owner() -> None:
    claimed = NEW.claimed(T0 + SECOND, "t1")
    assert claimed == replace(NEW, attempts=1, next_attempt_at=T0 + SECOND + timedelta(seconds=LEASE_S), token="t1")


@pytest.mark.parametrize(
    ("status", "final", "ended"),
    [
        (200, False, DeliveryStatus.DELIVERED),
        (299, True, DeliveryStatus.DELIVERED),
        (300, True, DeliveryStatus.FAILED),
        (199, True, DeliveryStatus.FAILED),
        (None, True, DeliveryStatus.FAILED),
    ],
)
def test_a_delivery_ends_with_an_accepted_or_a_final_attempt(
    status: int | None, final: bool, ended: DeliveryStatus
) -> None:
    after = NEW.after(attempt(status), wait_s=30, final=final, token="t1")
    ends = T0 + 2 * SECOND
    assert after == replace(NEW, log=(attempt(status),), status=ended, next_attempt_at=None, ended_at=ends, token="t1")


def test_a_refused_attempt_is_made_again_after_its_pause_and_the_last_one_when_the_day_is_over() -> None:
    after = NEW.after(attempt(500), wait_s=30, final=False, token="t1")
    assert after == replace(NEW, log=(attempt(500),), next_attempt_at=T0 + 32 * SECOND, token="t1")
    assert NEW.after(attempt(500), wait_s=90_000, final=False, token="t1").next_attempt_at == NEW.give_up_at
    last = attempt(500, NEW.give_up_at - 2 * SECOND)
    assert NEW.after(last, wait_s=30, final=False, token="t1").status is DeliveryStatus.FAILED
    before = attempt(500, NEW.give_up_at - 3 * SECOND)
    assert NEW.after(before, wait_s=30, final=False, token="t1").next_attempt_at == NEW.give_up_at


def test_the_latest_attempts_are_kept() -> None:
    delivery = NEW
    for number in range(25):
        delivery = delivery.after(attempt(500, T0 + number * SECOND), wait_s=1, final=False, token="t")
    assert [each.at for each in delivery.log] == [T0 + number * SECOND for number in range(5, 25)]


def test_a_former_secret_signs_until_it_ends() -> None:
    now = WebhookSecret(secret_id="whs_2", ciphertext="c", created_at=T0)
    former = replace(now, secret_id="whs_1", expires_at=T0 + SECOND)
    webhook = Webhook(webhook_id="whk_1", url="https://a.example", secrets=(now, former), created_at=T0, updated_at=T0)
    assert webhook.signing(T0) == (now, former)
    assert webhook.signing(T0 + SECOND) == (now,)
