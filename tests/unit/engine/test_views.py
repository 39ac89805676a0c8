"""The read models, over documents written by hand: what each state looks like to people."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest

from convergence.bootstrap import EmbeddedOptions, reading
from convergence.config.files.notifications import CHANNELS
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.run import Run
from convergence.domain.status import RunStatus, StepStatus
from convergence.domain.step import Step
from convergence.domain.times import to_text
from convergence.engine.dead_letters.find import Filter
from convergence.engine.services import Services
from convergence.engine.store import StoredStep, dead_letter_write, plan_path
from convergence.engine.views import runs as views
from convergence.engine.views.dead_letters import dead_letters
from convergence.engine.views.notifications import unsent
from convergence.errors import InvalidInput, NotFound
from convergence.ports.documents import Create
from convergence.ports.processor import NOT_SET_UP

T = TypeVar("T")
T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)


class FixedClock:
    """Half a minute after everything began."""

    def now(self) -> datetime:
        return T0 + timedelta(seconds=30)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a look never waits")


class World:
    """Documents to look at, and the services that look."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def put(self, *writes: Create) -> None:
        asyncio.run(self.services.documents.commit(writes))

    def run(self, run_id: str = "run_1", *, steps: tuple[Step, ...] = (), **changes: Any) -> Run:
        """Store a run of the plan below with the steps that have begun."""
        run = replace(a_run(run_id), **changes)
        self.put(
            Create(run.path, run.to_data()),
            Create(plan_path(run), PLAN.to_data()),
            *(Create(f"{run.path}/steps/{step.step_id}", step.to_data()) for step in steps),
        )
        return run

    def see(self, look: Callable[..., Awaitable[T]], *args: Any, **words: Any) -> T:
        """Look, and check that the answer is JSON."""

        async def answer() -> T:
            return await look(self.services, *args, **words)

        found = asyncio.run(answer())
        orjson.dumps(found)
        return found


PLAN = Plan(
    pipeline="shop/orders",
    pipeline_id="acme-shop-orders",
    digest="d",
    provider="shop",
    domain="",
    timeout_s=600,
    steps=(
        PlanStep(step_id="extract", ps_type="shop.extract", children=("load",), attempts_max=3),
        PlanStep(step_id="load", ps_type="shop.load", depends_on=("extract",)),
        PlanStep(step_id="tell", ps_type="shop.mail", trigger="on_failure"),
    ),
)


def a_run(run_id: str) -> Run:
    run = Run(
        run_id=run_id,
        org="acme",
        pipeline=PLAN.pipeline,
        pipeline_id=PLAN.pipeline_id,
        provider="shop",
        digest="d",
        request_digest="r",
        trigger="manual",
        created_at=T0,
        deadline_at=T0 + timedelta(seconds=600),
        check_at=T0,
    )
    return run.advance(RunStatus.RUNNING, at=T0, reason="first steps published", token="t")


def a_step(step_id: str, *ways: StepStatus, **changes: Any) -> Step:
    """A step that began a second after the run and went these ways, a second each."""
    step, at = Step(step_id=step_id, started_at=T0 + timedelta(seconds=1)), T0
    for to in ways:
        at += timedelta(seconds=1)
        step = step.advance(to, at=at, reason=f"to {to}", token="t")
    ended = at if ways[-1] in {StepStatus.COMPLETED, StepStatus.FAILED} else None
    return replace(step, finished_at=ended, **changes)


DONE = a_step("extract", StepStatus.RUNNING, StepStatus.COMPLETED, result={"rows_processed": 7, "rows_written": 5})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with reading(EmbeddedOptions(data_dir=tmp_path / "nowhere")) as services:
        yield World(replace(services, clock=FixedClock()))


def test_a_step_without_a_document_is_pending(world: World) -> None:
    world.run(steps=(DONE,))
    view = world.see(views.status, "acme", "run_1")
    assert [(step["step_id"], step["status"]) for step in view["steps"]] == [
        ("extract", "completed"),
        ("load", "pending"),
        ("tell", "pending"),
    ]
    assert (view["steps"][1]["started_at"], view["steps"][1]["duration_ms"], view["steps"][1]["attempts"]) == (
        None,
        None,
        0,
    )


@pytest.mark.parametrize(("took", "shown"), [(timedelta(microseconds=400), 0), (timedelta(seconds=-2), 0)])
def test_a_step_of_less_than_a_millisecond_took_none(world: World, took: timedelta, shown: int) -> None:
    world.run(steps=(replace(DONE, finished_at=T0 + timedelta(seconds=1) + took),))
    assert world.see(views.status, "acme", "run_1")["steps"][0]["duration_ms"] == shown


def test_progress_and_rows_come_from_the_steps_of_the_graph(world: World) -> None:
    world.run(steps=(DONE,))
    view = world.see(views.status, "acme", "run_1")
    assert (view["progress"], view["records_processed"], view["rows_written"]) == (50, 7, 5)
    assert (view["duration_ms"], view["completed_at"]) == (30_000, None)
    assert (view["steps"][0]["duration_ms"], view["steps"][0]["attempts"]) == (1000, 1)


@pytest.mark.parametrize("left", [None, StepStatus.RUNNING, StepStatus.RETRYING])
@pytest.mark.parametrize("epoch", [0, 1])
def test_what_a_failed_run_left_undone_shows_as_cancelled(world: World, left: StepStatus | None, epoch: int) -> None:
    """Also after a replay, which resets the steps it did not reach to retrying."""
    failed = a_step("extract", StepStatus.RUNNING, StepStatus.FAILED)
    steps = (failed,) if left is None else (failed, replace(Step(step_id="load"), status=left, epoch=epoch))
    ended = a_run("run_1").advance(RunStatus.FAILED, at=T0 + timedelta(seconds=9), reason="x", token="t")
    world.run(status=ended.status, finished_at=ended.finished_at, epoch=epoch, check_at=T0, steps=steps)
    view = world.see(views.status, "acme", "run_1")
    assert [step["status"] for step in view["steps"]] == ["failed", "cancelled", "pending"]


def test_an_end_step_that_did_not_end_before_its_run_was_closed_shows_as_cancelled(world: World) -> None:
    failed = a_step("extract", StepStatus.RUNNING, StepStatus.FAILED)
    world.run(status=RunStatus.FAILED, finished_at=T0, check_at=None, steps=(failed,))
    assert world.see(views.status, "acme", "run_1")["steps"][-1]["status"] == "cancelled"


def test_unfinished_steps_of_a_cancelled_run_show_as_cancelled(world: World) -> None:
    ended = a_run("run_1").advance(RunStatus.CANCELLED, at=T0 + timedelta(seconds=9), reason="on request", token="t")
    world.put(Create(ended.path, ended.to_data()), Create(plan_path(ended), PLAN.to_data()))
    world.put(Create("runs/run_1/steps/extract", a_step("extract", StepStatus.RUNNING).to_data()))
    view = world.see(views.status, "acme", "run_1")
    assert [step["status"] for step in view["steps"]] == ["cancelled", "cancelled"]
    assert (view["status"], view["duration_ms"], view["progress"]) == ("cancelled", 9000, 0)


def test_a_failed_run_shows_its_error_and_the_end_steps_that_it_called_for(world: World) -> None:
    error = {"code": "step.failed", "message": "shop.extract: no", "step_id": "extract"}
    failed = a_step("extract", StepStatus.RUNNING, StepStatus.FAILED, failures=1, error=error)
    ended = a_run("run_1").advance(
        RunStatus.FAILED, at=T0 + timedelta(seconds=3), reason="step extract failed", token="t"
    )
    ended = replace(ended, error=error)
    mail = a_step("tell", StepStatus.RUNNING, StepStatus.COMPLETED)
    world.put(Create(ended.path, ended.to_data()), Create(plan_path(ended), PLAN.to_data()))
    world.put(Create("runs/run_1/steps/extract", failed.to_data()), Create("runs/run_1/steps/tell~0", mail.to_data()))
    view = world.see(views.status, "acme", "run_1")
    assert (view["error_code"], view["error_message"]) == ("step.failed", "shop.extract: no")
    assert view["steps"][0]["error_code"] == "step.failed"
    assert [(step["status"], step["trigger"]) for step in view["steps"]] == [
        ("failed", None),
        ("cancelled", None),
        ("completed", "on_failure"),
    ]
    assert (view["steps"][0]["attempts"], view["steps"][0]["error_message"]) == (1, "shop.extract: no")


def test_a_waiting_step_says_for_which_attempt_and_until_when(world: World) -> None:
    due = T0 + timedelta(seconds=45)
    resting = a_step("extract", StepStatus.RUNNING, StepStatus.RETRYING, failures=1, not_before=due)
    world.run(steps=(resting,))
    view = world.see(views.status, "acme", "run_1")
    assert view["waits_for"] == "extract: attempt 2 of 3 at 2026-11-01T12:00:45.000000Z"
    assert view["steps"][0]["attempts"] == 1


def test_a_step_between_two_slices_is_in_its_first_attempt(world: World) -> None:
    world.run(steps=(a_step("extract", StepStatus.RUNNING, StepStatus.RETRYING, elapsed_s=4.0),))
    view = world.see(views.status, "acme", "run_1")
    assert (view["steps"][0]["attempts"], view["waits_for"]) == (1, None)


def test_a_failure_that_stopped_no_step_is_a_warning(world: World) -> None:
    kept = a_step("extract", StepStatus.RUNNING, StepStatus.COMPLETED, error={"message": "no rows"})
    world.run(steps=(kept,))
    assert world.see(views.status, "acme", "run_1")["warnings"] == ["extract: no rows"]


def test_what_a_step_warns_of_is_shown_with_the_run_that_completes(world: World) -> None:
    message = {"status": "SUCCESS", "warnings": ["the bill is 3 % higher", 7]}
    world.run(steps=(a_step("load", StepStatus.RUNNING, StepStatus.COMPLETED, result=message),))
    assert world.see(views.status, "acme", "run_1")["warnings"] == ["load: the bill is 3 % higher"]


def test_another_orgs_run_does_not_exist(world: World) -> None:
    world.run()
    for look in (views.status, views.transitions, views.results):
        with pytest.raises(NotFound, match="other has no run 'run_1'"):
            world.see(look, "other", "run_1")
    assert world.see(views.history, "other") == {"runs": [], "cursor": None}


def test_a_timeline_merges_run_and_steps_by_time(world: World) -> None:
    world.run(steps=(DONE,))
    moves = world.see(views.transitions, "acme", "run_1")
    assert [(move["at"][17:19], move["step_id"], move["status"]) for move in moves] == [
        ("00", None, "running"),
        ("01", "extract", "running"),
        ("02", "extract", "completed"),
    ]


def test_results_are_what_the_steps_answered(world: World) -> None:
    world.run(steps=(DONE,))
    assert world.see(views.results, "acme", "run_1") == {"extract": {"rows_processed": 7, "rows_written": 5}}


def test_a_history_filters_and_pages_latest_first(world: World) -> None:
    for number in range(5):
        provider = "shop" if number != 2 else "other"
        world.run(f"run_{number}", created_at=T0 + timedelta(seconds=number), provider=provider)
    first = world.see(views.history, "acme", provider="shop", status="running", limit=3)
    rest = world.see(views.history, "acme", provider="shop", status="running", limit=3, cursor=first["cursor"])
    assert [run["run_id"] for run in first["runs"] + rest["runs"]] == ["run_4", "run_3", "run_1", "run_0"]
    assert rest["cursor"] is None
    assert world.see(views.history, "acme", status="failed")["runs"] == []


def test_a_history_shows_each_runs_days_rows_and_what_its_replays_changed(world: World) -> None:
    world.run(
        parameters={"start_date": "2026-10-01", "end_date": "2026-10-31"},
        former=({"until": 0, "parameters": {"start_date": "2026-10-02", "end_date": "2026-10-31"}},),
        totals={"rows_processed": 7, "rows_written": 5},
    )
    (found,) = world.see(views.history, "acme")["runs"]
    assert (found["start_date"], found["end_date"]) == ("2026-10-01", "2026-10-31")
    assert (found["records_processed"], found["rows_written"]) == (7, 5)
    assert found["changes"] == [
        {"epoch": 1, "name": "start_date", "before": "2026-10-02", "after": "2026-10-01"},
    ]


def test_an_end_step_that_tells_nobody_does_not_stand_for_a_notification(world: World) -> None:
    default = PlanStep(step_id="mail", ps_type="notify_systems.email_notification", trigger="on_success")
    plan = replace(PLAN, steps=(*PLAN.steps[:2], default, replace(PLAN.steps[2], trigger="on_success")))
    silent = a_step("mail", StepStatus.RUNNING, StepStatus.COMPLETED, result={NOT_SET_UP: "no SMTP_HOST"})
    other = a_step("tell", StepStatus.RUNNING, StepStatus.COMPLETED, result={})
    run = a_run("run_1").advance(RunStatus.COMPLETED, at=T0, reason="all steps done", token="t")
    stored = {f"{step.step_id}~0": StoredStep(step, 1) for step in (silent, other)}
    assert unsent(run, plan, stored) == ["no notification was sent: no SMTP_HOST"]
    by_slack = replace(plan, steps=(*plan.steps[:3], replace(plan.steps[3], ps_type=CHANNELS["slack"])))
    assert unsent(run, by_slack, stored) == []


def test_an_end_step_that_failed_says_why(world: World) -> None:
    mail = PlanStep(step_id="mail", ps_type=CHANNELS["email"], trigger="on_success")
    plan = replace(PLAN, steps=(*PLAN.steps[:2], mail, replace(PLAN.steps[2], trigger="on_success")))
    error = {"code": "step.failed", "message": "no such address"}
    failed = [a_step(name, StepStatus.RUNNING, StepStatus.FAILED, error=error) for name in ("mail", "tell")]
    run = a_run("run_1").advance(RunStatus.COMPLETED, at=T0, reason="all steps done", token="t")
    assert unsent(run, plan, {f"{step.step_id}~0": StoredStep(step, 1) for step in failed}) == [
        "mail: no notification was sent: no such address",
        "tell: failed: no such address",
    ]


@pytest.mark.parametrize("words", [{"status": "runing"}, {"limit": 0}, {"limit": 501}, {"cursor": "x"}])
def test_a_history_refuses_what_does_not_exist(world: World, words: dict[str, Any]) -> None:
    world.run()
    with pytest.raises(InvalidInput):
        world.see(views.history, "acme", **words)


def test_a_dead_letter_of_an_older_epoch_shows_as_replayed(world: World) -> None:
    error = {"code": "step.failed", "message": "no"}
    old = world.run()
    newer = world.run("run_2", epoch=1)
    world.put(
        dead_letter_write(old, "extract", "shop.extract", error, 3, T0),
        dead_letter_write(a_run("run_2"), "load", "shop.load", error, 1, T0),
    )
    world.put(dead_letter_write(newer, "load", "shop.load", error, 1, T0 + timedelta(seconds=1)))
    found = world.see(dead_letters, Filter(org="acme"))["dead_letters"]
    assert [(item["letter_id"], item["attempts"], item["replayed"]) for item in found] == [
        ("run_2.load.1", 1, False),
        ("run_1.extract.0", 3, False),
        ("run_2.load.0", 1, True),
    ]


def test_dead_letters_come_in_pages(world: World) -> None:
    error = {"code": "step.failed", "message": "no"}
    for number in range(3):
        run = world.run(f"run_{number}")
        world.put(dead_letter_write(run, "extract", "shop.extract", error, 1, T0 + timedelta(seconds=number)))
    seen, cursor = [], None
    for _ in range(2):
        page = world.see(dead_letters, Filter(org="acme"), limit=2, cursor=cursor)
        cursor = page["cursor"]
        seen += [each["run_id"] for each in page["dead_letters"]]
    assert (seen, cursor) == (["run_2", "run_1", "run_0"], None)


def test_an_unreadable_message_is_a_dead_letter_without_a_run(world: World) -> None:
    data = {"org": "acme", "topic": "step-ready", "error": {"code": "message.unreadable", "message": "not JSON"}}
    world.put(Create("dead_letters/message.1", {**data, "data": "eA==", "attributes": {}, "created_at": to_text(T0)}))
    (found,) = world.see(dead_letters, Filter(org="acme"))["dead_letters"]
    assert (found["run_id"], found["topic"], found["replayed"]) == (None, "step-ready", False)


def test_a_step_that_is_due_waits_for_no_time_and_a_run_without_totals_has_no_records(world: World) -> None:
    due = a_step("extract", StepStatus.RUNNING, StepStatus.RETRYING, failures=1, not_before=T0 + timedelta(seconds=5))
    world.run(steps=(due,))
    assert world.see(views.status, "acme", "run_1")["steps"][0]["next_attempt_at"] is None
    (summary,) = world.see(views.history, "acme")["runs"]
    assert summary["records_processed"] == 0
