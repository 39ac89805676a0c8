"""Each safeguard of the engine is needed: without it, worlds break. With all of them, the same worlds hold."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convergence.domain import claim, crashes
from convergence.domain.quota import Limits, Usage
from convergence.domain.step import Step
from convergence.engine import finish_run as finish
from convergence.engine import reconcile
from convergence.engine.executions import Executions
from convergence.engine.step import run_step
from convergence.engine.step.context import StepContext
from convergence.engine.store import usage_path
from convergence.ports.documents import Create, Patch, Replace, Write
from convergence.ports.warehouse import Effect
from tests.simulation import broker, removals, shapes, world
from tests.simulation.faults import CALM, EVERY_FAULT, Odds
from tests.simulation.memory_warehouse import AT, MemoryWarehouse
from tests.simulation.shapes import adding_shapes, fatal_shapes, poison_shapes, prompt_shapes, slow_shapes
from tests.simulation.world import World

WORLDS = 400
HARSH = Odds(freeze=0.02, message_doubled=0.4)
# Processes die as they write, and clients cancel and replay at once.
EFFECTS = Odds(kill=0.015, write_late=1, cancelled=1, cancelled_after_max_s=200, comes_back=1)
# Deliveries that sleep through a failure and its replay.
SLEEPY = Odds(kill=0, freeze=0.15, freeze_max_s=1500, message_doubled=1, message_lost=0, cancelled=0)
# No message is lost and every death is noticed at the ack deadline: here redelivery alone must carry a run.
DEATHS_ONLY = Odds(kill=0.02, freeze=0, unavailable=0, answer_lost=0, message_lost=0, message_late=0, comes_back=0)

Break = Callable[[pytest.MonkeyPatch], None]


def breaks(key_file: Path, odds: Odds, worlds: int = WORLDS, **options: Any) -> int | None:
    """Return the first world that breaks, or None."""
    for seed in range(worlds):
        try:
            World(seed, key_file=key_file, odds=odds, **options).run()
        except AssertionError:
            return seed
    return None


def no_lease_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(run_step, "is_leased", lambda services, step: False)


def no_version_precondition(patch: pytest.MonkeyPatch) -> None:
    observed = World.observed_commit

    async def unconditional(self: World, writes: Sequence[Write]) -> list[int]:
        forced: list[Write] = []
        for write in writes:
            stored = await self.documents.get(write.path)
            if not isinstance(write, Create | Replace):
                forced.append(write)
            elif stored is None:
                forced.append(Create(write.path, write.data))
            else:
                forced.append(Replace(write.path, stored.version, write.data))
        return await observed(self, forced)

    patch.setattr(World, "observed_commit", unconditional)


def no_epoch_check(patch: pytest.MonkeyPatch) -> None:
    known = claim.decide_known
    patch.setattr(claim, "decide_known", lambda step, **question: known(replace(step, epoch=0), **question))


def no_count(patch: pytest.MonkeyPatch) -> None:
    reserve = Usage.reserve
    patch.setattr(Usage, "reserve", lambda self, *given, **asked: reserve(self, *given, **(asked | {"counted": False})))


def no_limit_at_once(patch: pytest.MonkeyPatch) -> None:
    reserve = Usage.reserve

    def generous(self: Usage, run_id: str, limits: Limits, **asked: Any) -> Usage:
        return reserve(self, run_id, replace(limits, concurrent=99), **asked)

    patch.setattr(Usage, "reserve", generous)


def no_release(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(finish, "release_writes", lambda run: [Patch(usage_path(run.org))])


def no_reservation_at_a_replay(patch: pytest.MonkeyPatch) -> None:
    reserve = Usage.reserve

    def forgetful(self: Usage, run_id: str, limits: Limits, *, counted: bool, **asked: Any) -> Usage:
        reserved = reserve(self, run_id, limits, counted=counted, **asked)
        return reserved if counted else replace(reserved, active=self.active)

    patch.setattr(Usage, "reserve", forgetful)


@pytest.mark.parametrize("broken", [no_count, no_limit_at_once, no_release, no_reservation_at_a_replay])
def test_without_a_part_of_the_reservation_worlds_break(
    broken: Break, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken(monkeypatch)
    assert breaks(tmp_path / "key", Odds(), worlds=60) is not None, f"{broken.__name__}: 60 worlds did not notice"


def test_the_worlds_meet_every_limit_with_new_runs_and_with_replays(tmp_path: Path) -> None:
    met: set[str] = set()
    for seed in range(60):
        lived = World(seed, key_file=tmp_path / "key")
        lived.run()
        met |= lived.quotas.refused.keys()
    assert met == {"Daily run", "Monthly run", "Concurrent run", "Concurrent replay"}


def no_gate(patch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def beside(self: Executions, wait_s: float) -> AsyncIterator[bool]:
        yield True

    patch.setattr(Executions, "alone", beside)


def no_suspects(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(claim, "suspect", lambda step: False)


def no_proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Executions, "up_s", lambda self: 1e9)


def no_growing_rest(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(crashes, "wait_s", lambda number: 1.0)


POISONED: dict[str, Any] = {"odds": CALM, "embedded": True, "burst": 0, "outages": 0, "shapes": poison_shapes()}
KILLED_YOUNG: dict[str, Any] = {"odds": CALM, "embedded": True, "burst": 100, "outages": 0, "shapes": slow_shapes()}


def test_without_making_up_for_outages_runs_fail_by_their_deadlines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert breaks(tmp_path / "key", Odds(), worlds=30, embedded=True) is None

    async def forgotten(services: object, *, started: bool = False) -> None:
        return

    monkeypatch.setattr(world, "note_alive", forgotten)
    assert breaks(tmp_path / "key", Odds(), worlds=30, embedded=True) is not None


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds whose runs have to end within hours."""
    monkeypatch.setattr(world, "CALM_MAX_S", 4 * 3600.0)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("scenario", [POISONED, KILLED_YOUNG])
def test_only_steps_that_kill_their_process_fail(scenario: dict[str, Any], tmp_path: Path) -> None:
    assert breaks(tmp_path / "key", worlds=12, **scenario) is None


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    ("broken", "scenario"),
    [(no_gate, POISONED), (no_suspects, POISONED), (no_growing_rest, POISONED), (no_proof, KILLED_YOUNG)],
)
def test_without_a_part_of_the_accounting_of_crashes_worlds_break(
    broken: Break, scenario: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken(monkeypatch)
    assert breaks(tmp_path / "key", worlds=12, **scenario) is not None, f"{broken.__name__}: no world noticed"


@pytest.mark.parametrize("odds", [HARSH, SLEEPY], ids=["harsh", "sleepy"])
def test_with_all_safeguards_the_same_worlds_hold(odds: Odds, tmp_path: Path) -> None:
    assert breaks(tmp_path / "key", odds, worlds=60, shapes=fatal_shapes()) is None


@pytest.mark.parametrize("broken", [no_lease_check, no_version_precondition])
def test_without_a_safeguard_worlds_break(broken: Break, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken(monkeypatch)
    assert breaks(tmp_path / "key", HARSH) is not None, f"{broken.__name__}: {WORLDS} worlds did not notice"


def test_without_the_epoch_check_a_delivery_from_before_a_replay_does_the_old_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_epoch_check(monkeypatch)
    assert breaks(tmp_path / "key", SLEEPY, shapes=fatal_shapes()) is not None


def test_without_the_reconciler_runs_hang(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(world, "CALM_MAX_S", 12 * 3600.0)
    assert breaks(tmp_path / "key", HARSH, reconciles=False) is not None


@pytest.fixture
def only_redelivery(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Worlds without a reconciler in which no message is lost; they last until a day's limit has opened twice."""
    monkeypatch.setattr(world, "CALM_MAX_S", 30 * 3600.0)
    monkeypatch.setattr(broker, "REDELIVERY_MIN_S", broker.ACK_DEADLINE_S)
    options = {"reconciles": False, "deliveries_max": 100, "embedded": False, "burst": 0}
    return {"odds": DEATHS_ONLY, "shapes": prompt_shapes(), **options}


def test_redelivery_alone_carries_a_run_when_no_message_is_lost(
    only_redelivery: dict[str, Any], tmp_path: Path
) -> None:
    assert breaks(tmp_path / "key", worlds=100, **only_redelivery) is None


def test_without_publishing_again_on_redelivery_runs_hang(
    only_redelivery: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    decide = claim.decide

    def forgetful(**question: Any) -> claim.Decision:
        decision = decide(**question)
        return claim.Decision.DROP if decision is claim.Decision.WAKE_DEPENDENTS else decision

    monkeypatch.setattr(run_step, "decide", forgetful)
    assert breaks(tmp_path / "key", **only_redelivery) is not None


def no_closing(patch: pytest.MonkeyPatch) -> None:
    """Only look whether a write of an earlier epoch took effect."""

    async def look_up(self: MemoryWarehouse, job_id: str, **_: Any) -> Effect | None:
        known = self.jobs.get(job_id)
        return None if known is None else Effect(known[1], AT, None)

    patch.setattr(MemoryWarehouse, "close_job", look_up)


def only_the_last_epoch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Step, "claimed_in", lambda self, epoch: (*[each for each in self.epochs[-1:] if each < epoch], epoch))


def no_stored_count_of_writes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StepContext, "writes", {})


def no_input_digest(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(run_step, "input_digest", lambda *given: "0" * 24)


def job_ids_without_epochs_before(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Step, "claimed_in", lambda self, epoch: (epoch,))


@pytest.mark.parametrize(
    "broken",
    [no_closing, only_the_last_epoch, no_stored_count_of_writes, no_input_digest, job_ids_without_epochs_before],
)
def test_without_a_rule_of_effects_across_epochs_worlds_break(
    broken: Break, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken(monkeypatch)
    assert breaks(tmp_path / "key", EFFECTS, shapes=adding_shapes()) is not None, f"{broken.__name__}: not noticed"


def test_with_all_rules_of_effects_the_same_worlds_hold(tmp_path: Path) -> None:
    assert breaks(tmp_path / "key", EFFECTS, worlds=100, shapes=adding_shapes()) is None


def test_without_telling_once_more_at_the_close_some_ends_are_never_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    odds = replace(EVERY_FAULT, publish_refused=0.3)
    assert breaks(tmp_path / "key", odds, worlds=6) is None

    async def untold(*given: object, **options: object) -> None:
        return

    monkeypatch.setattr(reconcile, "publish_events", untold)
    assert breaks(tmp_path / "key", odds, worlds=20) is not None


QUIET = Odds(cancelled=0, kill=0, freeze=0)
SKEWED = Odds(clock_skew_s=60, cancelled=0, kill=0)
SUSPENDED = Odds(suspended=1, by_message=0.5)
AREAS: dict[str, tuple[Odds, Callable[[], Sequence[int]]]] = {
    "late": (QUIET, shapes.late_shapes),
    "creeping": (QUIET, shapes.creeping_shapes),
    "stalled": (QUIET, shapes.stalled_shapes),
    "deployed": (Odds(deployed=1, cancelled=0.5), fatal_shapes),
    "files": (replace(EFFECTS, deployed=1), shapes.file_shapes),
    "keys": (replace(QUIET, key_changed=1), shapes.keyed_shapes),
    "once": (QUIET, lambda: shapes.once_shapes()[:1]),
    "suspended": (SUSPENDED, fatal_shapes),
    "twins": (Odds(twin=1), lambda: world.ALL),
    "slow": (Odds(slow=0.05, unavailable=0.05, cancelled=0.5), adding_shapes),
    "skewed": (SKEWED, fatal_shapes),
    "wide": (QUIET, shapes.wide_shapes),
    "slices": (QUIET, shapes.sliced_shapes),
}


def area_breaks(area: str, key_file: Path, *, worlds: int) -> int | None:
    """Return the first world of an area that breaks, or None."""
    odds, chosen = AREAS[area]
    return breaks(key_file, odds, worlds=worlds, shapes=chosen())


@pytest.mark.parametrize("area", AREAS)
def test_with_all_safeguards_the_worlds_of_an_area_hold(area: str, tmp_path: Path) -> None:
    assert area_breaks(area, tmp_path / "key", worlds=2 if area == "wide" else 8) is None


@pytest.mark.parametrize(
    ("broken", "area"),
    [
        (removals.no_time_limit, "late"),
        (removals.no_time_of_earlier_slices, "creeping"),
        (removals.no_deadline, "stalled"),
        (removals.no_latest_file, "deployed"),
        (removals.no_plan_of_each_epoch, "deployed"),
        (removals.no_digest_of_files, "files"),
        (removals.no_fresh_credential, "keys"),
        (removals.no_once, "once"),
        (removals.no_suspension, "suspended"),
        (removals.no_key_of_a_message, "suspended"),
        (removals.no_dead_letter_of_a_message, "suspended"),
        (removals.no_run_of_a_key, "twins"),
        (removals.no_digest_of_a_request, "twins"),
        (removals.no_lease_check_before_a_write, "slow"),
        (removals.no_look_beyond_64, "wide"),
        (removals.no_stages_of_early_slices, "slices"),
    ],
)
def test_without_the_safeguard_of_an_area_its_worlds_break(
    broken: Break, area: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken(monkeypatch)
    monkeypatch.setattr(world, "CALM_MAX_S", 12 * 3600.0)  # what never ends is seen soon
    assert area_breaks(area, tmp_path / "key", worlds=60) is not None, f"{broken.__name__}: no world noticed"


def test_without_the_day_of_a_clock_ahead_a_day_is_counted_twice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(world, "EVENINGS", world.EVENINGS[1:])
    options: dict[str, Any] = {"odds": SKEWED, "shapes": fatal_shapes(), "embedded": False}
    assert breaks(tmp_path / "key", worlds=20, **options) is None
    removals.no_day_of_a_clock_ahead(monkeypatch)
    assert breaks(tmp_path / "key", **options) is not None
