"""A run as tests of several rules take it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from convergence.domain.run import Run
from convergence.domain.status import (
    RunStatus,
)

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def a_run(status: RunStatus = RunStatus.PENDING) -> Run:
    return Run(
        run_id="r1", org="acme", pipeline="a/b", pipeline_id="acme-b", provider="a", digest="d", request_digest="q",
        trigger="manual", created_at=T0, deadline_at=T0 + timedelta(minutes=30), check_at=T0, status=status,
    )  # fmt: skip
