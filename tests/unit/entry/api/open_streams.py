"""Event streams in tests: the process that holds them, and when one is open."""

from __future__ import annotations

import asyncio

import pytest

from convergence.entry.api.runtime import Runtime
from convergence.entry.api.streams import Streams
from tests.unit.entry.api.conftest import Api


def when_open(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    opened, enter = asyncio.Event(), Streams.enter

    def entered(self: Streams, org: str) -> None:
        enter(self, org)
        opened.set()

    monkeypatch.setattr(Streams, "enter", entered)
    return opened


def runtime_of(api: Api) -> Runtime:
    return api.at
