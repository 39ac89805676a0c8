"""Webhooks in hostile worlds: no event is lost, none is made up, none has two deliveries."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.simulation.webhooks.removals import REMOVALS, Removal
from tests.simulation.webhooks.world import WebhookWorld

FIRST = int(os.environ.get("SEED", "0"))
WORLDS = int(os.environ.get("WEBHOOK_WORLDS", "1" if "SEED" in os.environ else "60"))
BATCH = 20
TRIES = 60
GONE_SEEDS = (1, 2)  # their last deliveries end a day later, which takes a while to live through


@pytest.mark.parametrize("first", range(FIRST, FIRST + WORLDS, BATCH))
def test_each_event_reaches_its_webhooks_or_fails_after_a_day(first: int, tmp_path: Path) -> None:
    for seed in range(first, min(first + BATCH, FIRST + WORLDS)):
        try:
            WebhookWorld(seed, key_file=tmp_path / "key").run()
        except BaseException as error:
            raise AssertionError(f"webhook world {seed} broke ({error})") from error


def test_receivers_that_are_gone_end_deliveries_as_failed(tmp_path: Path) -> None:
    ends: set[str] = set()
    for seed in GONE_SEEDS:
        lived = WebhookWorld(seed, key_file=tmp_path / "key", gone=0.5, embedded=True)
        lived.run()
        ends |= {each["status"] for path, each in lived.state.items() if path.startswith("webhook_deliveries/")}
    assert ends == {"delivered", "failed"}


@pytest.mark.parametrize("removal", REMOVALS)
def test_without_a_safeguard_worlds_break(removal: Removal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    removal(monkeypatch)
    for seed in range(TRIES):
        try:
            WebhookWorld(seed, key_file=tmp_path / "key").run()
        except AssertionError:
            return
    raise AssertionError(f"{removal.__name__}: {TRIES} worlds did not notice")
