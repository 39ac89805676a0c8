"""Records that another release stored are read: with a field more, with a field less, and today's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

import pytest

from convergence.domain.backfill import Backfill, BackfillStatus, Mode
from convergence.domain.backfill import Step as SliceStep
from convergence.domain.billing_periods import BillingPeriod, Change, PeriodKey
from convergence.domain.caps import CapShard
from convergence.domain.dead_letter_replay import DeadLetterReplay, Pending, ReplayStatus
from convergence.domain.invoices import Invoice, InvoiceLine
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.queue import OrgQueue, QueuePlace
from convergence.domain.quota import Limits, Usage
from convergence.domain.records import StoredRecord, changed
from convergence.domain.run import Run
from convergence.domain.schedule import Blackout, LastSkip, Missed, Overlap, Priority, Schedule, ScheduleState, Timing
from convergence.domain.status import RunStatus, StepStatus
from convergence.domain.step import Step
from convergence.domain.webhook import Webhook, Webhooks, WebhookSecret
from convergence.domain.webhook_delivery import Attempt, DeliveryStatus, WebhookDelivery
from convergence.tenants.api_keys import ApiKey
from convergence.tenants.orgs import Org

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NEWER = {"from_the_future": {"a": 1}, "unknown": 1}


class Record(Protocol):
    def to_data(self) -> dict[str, Any]: ...

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Record: ...


RECORDS: list[Record] = [
    Run(
        run_id="r", org="acme", pipeline="a/b", pipeline_id="a", provider="a", digest="d", request_digest="q",
        trigger="manual", created_at=AT, deadline_at=AT, check_at=AT, status=RunStatus.RUNNING, started_at=AT,
        deadline_set_at=AT + timedelta(hours=1),
        queue=QueuePlace(org="acme", pool="p", priority=Priority.BACKFILL, rank="1", held_after="q"),
        warnings=("one",), totals={"rows": 1}, transitions=[["t", "running", "began"]],
    ),
    Step(step_id="s", status=StepStatus.RUNNING, lease_until=AT, crashes=1, stages=(1, 2), started_at=AT),
    Plan(
        pipeline="a/b", pipeline_id="a", digest="d", provider="a", domain="", timeout_s=1.0,
        steps=(PlanStep(step_id="s", ps_type="p", depends_on=("r",), deferred=([["config", "q"], ["x"], False],)),),
    ),
    Org(slug="acme", name="Acme", status="ACTIVE", limits=Limits(daily=1, monthly=2, concurrent=3), created_at=AT),
    Webhooks(
        org="acme",
        webhooks={
            "whk_1": Webhook(
                webhook_id="whk_1", url="https://a.example", events=("run.failed",), pipelines="a/*", description="d",
                enabled=False, created_at=AT, updated_at=AT,
                secrets=(WebhookSecret(secret_id="whs_1", ciphertext="c", created_at=AT, expires_at=AT),),
            )
        },
        token="t",
    ),
    WebhookDelivery(
        delivery_id="whd_1", org="acme", webhook_id="whk_1", event_id="r#1", event_type="run.failed", body="{}",
        created_at=AT, give_up_at=AT, status=DeliveryStatus.FAILED, attempts=2, next_attempt_at=AT, ended_at=AT,
        log=(Attempt(at=AT, duration_ms=3, status_code=500, error="no"),), expire_at=AT, token="t",
    ),
    Usage(day="2026-01-02", day_count=1, active={"r": AT}),
    ApiKey(key_id="k", org="acme", name="n", digest="d", scopes=("read",), created_at=AT),
    Schedule(
        schedule_id="sch", org="acme", pipeline="a/b", provider="a", name="weekly", created_at=AT, updated_at=AT,
        timing=Timing(
            cron="0 2 * * *", timezone="Europe/Berlin", jitter_s=60, starting_deadline_s=7, missed=Missed.ALL,
            overlap=Overlap.QUEUE, queue_max=3, start=AT, end=AT + timedelta(days=9),
            blackouts=(Blackout(start=AT, end=AT + timedelta(days=1), reason="freeze"),),
        ),
        credential_id="cred", parameters={"a": 1}, from_pipeline=True, overridden=("timing",), enabled=False,
        state=ScheduleState.PAUSED, reason="holidays", paused_until=AT, slot=AT, due_at=AT, decided_through=AT,
        active_runs=("r",), last_run="r", last_fired_at=AT, revision=4, token="t",
        last_skip=LastSkip(first=AT, last=AT + timedelta(days=1), count=2, reason="late"),
    ),
    OrgQueue(
        org="acme", virtual_start=1.5, waiting_pools={"p": True}, ready=True, next_check_at=AT, blocked_on=("global",),
        reason="full", admitted=3, minutes={"a/b": 2.5}, token="t",
    ),
    CapShard(held={"r": AT}, token="t"),
    DeadLetterReplay(
        replay_id="dlr", org="acme", before=AT, created_at=AT, updated_at=AT, after=AT, pipeline="a/b", step_id="s",
        code="c", parameters={"a": 1}, latest=True, operator=True, created_by="key", per_minute=3, failures_max=4,
        total=5, status=ReplayStatus.STOPPED, reason="no", first_passed=True, cursor="next", exhausted=True,
        window={"r.s.0": Pending(run_id="r", org="acme", epoch=0)}, completed=1, failed=2, refused=3, tokens=2.5,
        tokens_at=AT, next_check_at=AT, expire_at=AT, token="t",
    ),
    Backfill(
        backfill_id="bf", org="acme", pipeline="a/b", start="2026-01-01", end="2026-01-02", step=SliceStep.DAY,
        mode=Mode.FAILED, states="d.", created_at=AT, updated_at=AT, credential_id="cred", parameters={"a": 1},
        newest_first=False, concurrency=2, failures_max=3, window={"r": 1}, others={"r2": [0]},
        status=BackfillStatus.PAUSED, reason="no", next_check_at=AT, token="t",
    ),
]  # fmt: skip
OPTIONAL = {
    Run: "totals", Step: "stages", Plan: "core", Org: "subscription", Usage: "day_count", ApiKey: "revoked_at",
    Schedule: "revision", Backfill: "others", OrgQueue: "admitted", CapShard: "token",
    Webhooks: "token", WebhookDelivery: "attempts", DeadLetterReplay: "created_by",
}  # fmt: skip


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert record.from_data(record.to_data()) == record


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_is_stored_under_the_names_of_its_fields(record: Record) -> None:
    """A field that is stored under another name would come back as its default, and the next release not find it."""
    assert is_dataclass(record)
    stored = record.to_data().keys()
    assert stored <= {each.name for each in fields(record)}
    left_out = {each.name for each in fields(record)} - stored
    assert all(getattr(record, name) == default_of(record, name) for name in left_out)


def default_of(record: Record, name: str) -> object:
    """Return the default of a record's field."""
    assert is_dataclass(record)
    (field,) = (each for each in fields(record) if each.name == name)
    return field.default if field.default_factory is MISSING else field.default_factory()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_field_of_a_newer_release_does_not_disturb(record: Record) -> None:
    assert record.from_data({**record.to_data(), "from_the_future": {"a": 1}}) == record


@pytest.mark.parametrize(
    "record", [each for each in RECORDS if isinstance(each, StoredRecord)], ids=lambda record: type(record).__name__
)
def test_a_write_keeps_the_fields_of_a_newer_release(record: Any) -> None:
    """Also those of the records inside, and those called like the attribute that holds them."""
    stored = with_newer_fields(record, record.to_data())
    read = record.from_data(stored)
    assert read.to_data() == stored
    assert replace(read).unknown == NEWER
    if not isinstance(record, (Org, Usage)):  # they have slots, so `changed` is not for them
        assert changed(read).unknown == NEWER


def test_only_records_that_are_never_written_back_whole_lose_the_fields_of_a_newer_release() -> None:
    """A plan is written once; a key is patched."""
    assert {type(each) for each in RECORDS if not isinstance(each, StoredRecord)} == {Plan, ApiKey}


def test_billing_keeps_the_fields_of_a_newer_release() -> None:
    key = PeriodKey(AT.date().replace(day=1), "Google", "a-1")
    period = BillingPeriod.new(key, Change(status="Open", at=AT, actor="me"))
    line = InvoiceLine(line_id="1", amount=Decimal(3))
    invoice = Invoice(key=key, invoice_id="i", currency="EUR", lines=(line,), created_at=AT, updated_at=AT)
    closed = replace(BillingPeriod.from_data(period.to_data() | NEWER), status="Closed")
    assert closed.to_data() == period.to_data() | {"status": "Closed"} | NEWER
    voided = replace(Invoice.from_data(invoice.to_data() | NEWER), status="Voided")
    assert voided.to_data() == invoice.to_data() | {"status": "Voided"} | NEWER


def test_a_field_of_an_older_release_that_was_translated_is_not_kept() -> None:
    """It would be translated again at each read: a step would never have fewer crashes than its `claims` say."""
    data = {**Step(step_id="s").to_data(), "claims": 3}
    step = Step.from_data(data)
    assert step.crashes == 2
    assert Step.from_data(changed(step, crashes=0).to_data()).crashes == 0


def with_newer_fields(record: object, data: Any) -> Any:
    """Return what a newer release would have stored: `data` with more fields, in nested records too."""
    if is_dataclass(record):
        known = {name: with_newer_fields(getattr(record, name), value) for name, value in data.items()}
        return known | (NEWER if isinstance(record, StoredRecord) else {})
    if isinstance(record, Mapping):
        return {name: with_newer_fields(each, data[name]) for name, each in record.items()}
    if isinstance(record, tuple) and record and is_dataclass(record[0]):
        return [with_newer_fields(each, stored) for each, stored in zip(record, data, strict=True)]
    return data


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_field_that_an_older_release_did_not_know_takes_its_default(record: Record) -> None:
    name = OPTIONAL[type(record)]
    data = record.to_data()
    del data[name]
    assert name not in data
    assert record.from_data(data).to_data().keys() == record.to_data().keys()


def test_nested_records_are_tolerant_too() -> None:
    plan = RECORDS[2].to_data()
    plan["steps"][0] = {**plan["steps"][0], "from_the_future": 1}
    assert Plan.from_data(plan) == RECORDS[2]
    org = RECORDS[3].to_data()
    org["limits"] = {**org["limits"], "hourly": 5}
    assert Org.from_data(org) == RECORDS[3]


def test_a_missing_field_without_a_default_is_an_error() -> None:
    data = RECORDS[0].to_data()
    del data["org"]
    with pytest.raises(TypeError, match="org"):
        Run.from_data(data)


def test_deferred_texts_of_an_older_plan_are_found() -> None:
    entry = [["config", "query"], [{"name": "results.a.rows"}], False]
    old = {"step_id": "s", "ps_type": "p", "config": {"config": {"query": None}, "pending": [entry]}}
    step = PlanStep.from_data(old)
    assert step.config == {"config": {"query": None}}
    assert list(step.deferred) == [entry]


def test_a_key_of_the_authors_that_is_called_as_deferred_texts_once_were_stays_theirs() -> None:
    new = {"step_id": "s", "ps_type": "p", "config": {"pending": "mine"}, "deferred": []}
    assert PlanStep.from_data(new).config == {"pending": "mine"}
    assert PlanStep.from_data({"step_id": "s", "ps_type": "p"}).config == {}
