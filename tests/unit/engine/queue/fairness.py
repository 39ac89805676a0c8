"""Who gets the places when orgs compete: a full queue, built in bulk, and runs that all take equally long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from convergence.domain.queue import rank_of
from convergence.domain.schedule import Priority
from convergence.engine.prepare_run import RunRequest, prepare
from convergence.engine.queue.admission import admission_pass
from convergence.engine.queue.waiting import ensure_queues, queued, ready_write
from convergence.ports.documents import Create, Write
from tests.unit.engine.conftest import Engine
from tests.unit.engine.queue.queueing import end, held

PLACES: Final = 20
HEAVY: Final = "heavy"
LIGHT_RUNS: Final = 5
LIGHTS: Final = {f"light{number:02}": LIGHT_RUNS for number in range(99)}
_COMMIT: Final = 200


async def fill(engine: Engine, waiting: Mapping[str, int], weights: Mapping[str, float] | None = None) -> None:
    """Queue so many runs of each org."""
    writes: list[Write] = []
    await ensure_queues(engine.services, waiting)
    for org, count in waiting.items():
        await engine.org(org, concurrent=1_000, daily=100_000, monthly=100_000)
        if weights is not None:
            await engine.services.orgs.change(org, partial(replace, weight=weights[org]), token=f"w-{org}")
        prepared = await prepare(engine.services, RunRequest(org=org, pipeline="p/d/n"))
        first = queued(engine.services, prepared.run, Priority.SCHEDULED, "for a test", token="t")
        assert first.queue is not None
        for number in range(count):
            run_id = f"run_{org}_{number:05}"
            place = replace(first.queue, rank=rank_of(Priority.SCHEDULED, first.created_at, run_id))
            run = replace(first, run_id=run_id, queue=place)
            writes.append(Create(run.path, run.to_data()))
    for at in range(0, len(writes), _COMMIT):
        await engine.documents.commit(writes[at : at + _COMMIT])
    for org in waiting:
        await engine.documents.commit([ready_write(org, ["-"])])


async def rounds(engine: Engine, orgs: Mapping[str, int], *, most: int) -> list[Counter[str]]:
    """Fill all places and end all runs, again and again, until the runs of `orgs` have started; count by org."""
    found: list[Counter[str]] = []
    left = sum(orgs.values())
    while left > 0:
        assert len(found) < most, f"after {most} rounds {left} runs have not started"
        while (
            await admission_pass(engine.services)
        ).runs:  # one pass ends after ten seconds, however slow the store is
            pass
        active = await held(engine, "global")
        assert len(active) <= PLACES
        found.append(Counter(run_id.split("_")[1] for run_id in active))
        left -= sum(count for org, count in found[-1].items() if org in orgs)
        for run_id in active:
            await end(engine, run_id)
    return found


async def check_light_orgs_come_first(engine: Engine, backlog: int) -> None:
    """One org with a long queue and 99 with five runs each, of equal weight: proof that no light org waits for it."""
    await fill(engine, {HEAVY: backlog, **LIGHTS})
    share = PLACES / (len(LIGHTS) + 1)
    fair = LIGHT_RUNS / share  # rounds in which an org's runs end that always has its share of the places
    found = await rounds(engine, LIGHTS, most=int(1.2 * fair))
    assert sum(each[HEAVY] for each in found) < PLACES, "its 20th run starts after every light org's last one"
    assert all(sum(each[org] for each in found) == LIGHT_RUNS for org in LIGHTS)
    assert all(each.total() == PLACES for each in found[:-1]), "no place is empty while runs wait"


async def check_throughput_follows_weights(engine: Engine) -> None:
    """While three orgs wait, they start runs as 1 : 2 : 4."""
    weights = {"one": 1.0, "two": 2.0, "four": 4.0}
    waiting = {"one": 60, "two": 100, "four": 180}
    await fill(engine, waiting, weights)
    found: Counter[str] = sum(await rounds(engine, {"four": 160}, most=18), Counter())
    assert all(found[org] < waiting[org] for org in waiting), "all three still wait"
    for org, weight in weights.items():
        expected = found.total() * weight / sum(weights.values())
        assert abs(found[org] - expected) <= expected / 10, found
