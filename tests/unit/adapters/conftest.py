"""Servers that several tests of the adapters talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.adapters.bigquery_recorder import Recorder, recording


@pytest.fixture
def bigquery_server() -> Iterator[tuple[Recorder, str]]:
    with recording() as server:
        yield server
