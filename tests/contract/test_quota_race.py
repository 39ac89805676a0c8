"""Callers that race for the last slot of an org: exactly one wins, on every `Documents` adapter."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from convergence.domain.quota import Limits, Usage
from convergence.errors import Conflict, QuotaExceeded
from convergence.ports.documents import Create, Documents, Replace
from tests.contract.conftest import SteppingClock

CALLERS = 64
PATH = "orgs/acme/usage/current"
NOW = SteppingClock().now()


async def reserve(documents: Documents, caller: int, limits: Limits) -> str:
    """Reserve as `dispatch` does, with nothing in this process that would let callers queue up."""
    while True:
        stored = await documents.get(PATH)
        await asyncio.sleep(0)  # all read before the first one writes
        usage = Usage(active={}) if stored is None else Usage.from_data(stored.data)
        run_id = f"run{caller}"
        until = NOW + timedelta(hours=1)
        try:
            data = usage.reserve(run_id, limits, now=NOW, until=until, counted=True, token=run_id).to_data()
        except QuotaExceeded as refused:
            return str(refused).split(" ", 1)[0]
        write = Create(PATH, data) if stored is None else Replace(PATH, stored.version, data)
        try:
            await documents.commit([write, Create(f"runs/{run_id}", {"n": caller})])
        except Conflict:
            continue
        return "won"


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        (Limits(daily=1, monthly=9, concurrent=9), "Daily"),
        (Limits(daily=9, monthly=1, concurrent=9), "Monthly"),
        (Limits(daily=9, monthly=9, concurrent=1), "Concurrent"),
    ],
)
def test_one_of_64_callers_gets_the_last_slot(documents: Documents, limits: Limits, refusal: str) -> None:
    async def race() -> tuple[list[str], int]:
        answers = await asyncio.gather(*(reserve(documents, caller, limits) for caller in range(CALLERS)))
        return answers, await documents.count("runs")

    answers, runs = asyncio.run(race())
    assert answers.count("won") == 1
    assert answers.count(refusal) == CALLERS - 1
    assert runs == 1


def test_64_callers_fill_20_slots_exactly(documents: Documents) -> None:
    async def race() -> list[str]:
        limits = Limits(daily=100, monthly=100, concurrent=20)
        return await asyncio.gather(*(reserve(documents, caller, limits) for caller in range(CALLERS)))

    answers = asyncio.run(race())
    assert (answers.count("won"), answers.count("Concurrent")) == (20, 44)
