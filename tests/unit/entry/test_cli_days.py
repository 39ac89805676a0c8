"""Days that are probably a slip start nothing without --force, whichever command names them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from convergence.adapters.local.clock import SystemClock
from tests.unit.entry.conftest import Cli

NOW = SystemClock().now()
TOMORROW = (NOW.date() + timedelta(days=2)).isoformat()  # two days: also where midnight passes meanwhile
CENTURY = ("1900-01-01", "2000-01-01")
HELLO = ("run", "acme", "example/hello")


def refused(cli: Cli, *call: str) -> None:
    """Assert that the call asks for a confirmation and does nothing."""
    answer = cli(*call)
    assert (answer.code, "confirm it with --force" in answer.err) == (2, True), (call, answer.out, answer.err)


def test_a_run_of_tomorrow_or_of_a_century_asks_first(acme: Cli) -> None:
    refused(acme, *HELLO, "-p", f"date={TOMORROW}")
    refused(acme, *HELLO, "-p", f"end_date={TOMORROW}")
    refused(acme, *HELLO, "-p", f"start_date={CENTURY[0]}", "-p", f"end_date={CENTURY[1]}")
    assert acme("history", "acme", "--json").data["runs"] == []
    planned = acme("plan", *HELLO[1:], "-p", f"date={TOMORROW}")
    assert (planned.code, f"{TOMORROW} is in the future" in planned.err) == (0, True)
    assert acme(*HELLO, "-p", f"date={TOMORROW}", "--force").code == 0
    assert acme(*HELLO, "-p", "start_date=MONTH_START", "-p", "end_date=MONTH_END").code == 0


def test_a_replay_asks_first(acme: Cli) -> None:
    assert acme("run", "acme", "shop/load").code == 1
    run_id = acme("status", "--json").data["run_id"]
    letter = acme("dead-letters", "acme", "--json").data["dead_letters"][0]["letter_id"]
    for call in (
        ("replay", run_id, "-p", f"date={TOMORROW}"),
        ("replay", letter, "-p", f"date={TOMORROW}"),
        ("dead-letters", "replay", letter, "-p", f"date={TOMORROW}"),
        ("dead-letters", "replay-all", "acme", "--pipeline", "shop/load", "-p", f"end_date={TOMORROW}"),
    ):
        refused(acme, *call)
    assert acme("status", "--json").data["epoch"] == 0
    again = ("replay", run_id, "-p", f"date={TOMORROW}", "-p", f"start_date={TOMORROW}", "-p", f"end_date={TOMORROW}")
    assert acme(*again, "--force").code == 1
    assert acme("status", "--json").data["start_date"] == TOMORROW


def test_a_backfill_asks_first(acme: Cli) -> None:
    hello = ("backfill", "acme", "example/hello")
    refused(acme, *hello, "--from", "YESTERDAY", "--to", TOMORROW)
    refused(acme, *hello, "--from", "1980-01-01", "--to", "2000-01-01", "--step", "month")
    assert acme("backfills", "list", "acme", "--json").data["backfills"] == []
    assert acme(*hello, "--from", "YESTERDAY", "--to", TOMORROW, "--dry-run").code == 0
    assert acme(*hello, "--from", TOMORROW, "--to", TOMORROW, "--force").code == 0


def test_repricing_asks_first(acme: Cli) -> None:
    refused(acme, "reprice", "acme", "openai", "--from", "TODAY-7", "--to", TOMORROW)
    refused(acme, "reprice", "acme", "openai", "--from", CENTURY[0], "--to", CENTURY[1])


def test_the_demo_has_no_days_that_are_not_over(cli: Cli) -> None:
    answer = cli("demo", "--start", "YESTERDAY", "--end", TOMORROW)
    assert (answer.code, "is in the future" in answer.err) == (2, True)


def test_the_day_is_that_of_the_pipelines_schedule(acme: Cli, configs: Path) -> None:
    text = """
schedule: {{cron: "0 5 * * *", timezone: {zone}, enabled: false}}
steps: [{{step_id: look, ps_type: generic.noop}}]
"""
    for name, zone, hours in (("east", "Pacific/Kiritimati", 14), ("west", "Pacific/Pago_Pago", -11)):
        (configs / "shop" / f"{name}.yml").write_text(text.format(zone=zone))
        there = (NOW + timedelta(hours=hours)).date()
        assert acme("run", "acme", f"shop/{name}", "-p", f"date={there}").code == 0, "today there"
        refused(acme, "run", "acme", f"shop/{name}", "-p", f"date={there + timedelta(days=2)}")


@pytest.mark.parametrize("word", ["TODAY-7", "yesterday", "Month_Start"])
def test_words_are_dates_in_every_case(acme: Cli, word: str) -> None:
    assert acme(*HELLO, "-p", f"start_date={word}", "-p", "end_date=today").code == 0
    assert acme("backfill", "acme", "example/hello", "--from", word, "--to", "today", "--dry-run").code == 0


def test_invoices_months_and_terms_take_words_too(acme: Cli) -> None:
    today = NOW.date()
    add = ("invoice", "add", "acme", "INV-1", "--issuer", "OpenAI", "--account", "org-1", "--amount", "5", "--currency")
    made = acme(*add, "USD", "--month", "YEAR_START", "--issued-on", "today-7", "--due-on", "2027-01-31", "--json")
    (invoice,) = made.data["invoices"]
    assert (invoice["month"][:7], invoice["due_on"]) == (f"{today.year}-01", "2027-01-31")
    assert invoice["issued_on"] in {(today - timedelta(days=days)).isoformat() for days in (6, 7)}
    period = ("period", "reconcile", "acme", "--from", "YEAR_START", "--to", "TODAY-1", "--json")
    assert acme(*period).code == 0
    wrong = acme(*add, "USD", "--month", "2026-13")
    assert (wrong.code, "'2026-13' is not a month such as 2026-11" in wrong.err) == (2, True)
    late = acme(*add, "USD", "--month", "2026-11", "--due-on", "soon")
    assert (late.code, "a date: YYYY-MM-DD, TODAY-n or one of" in late.err) == (2, True)
    removed = acme("subscription", "remove", "acme", "design", "--starts-on", "someday")
    assert (removed.code, "not 'someday'" in removed.err) == (2, True)


def test_a_backfill_by_weeks_of_a_pipeline_that_reads_one_day_is_confirmed(acme: Cli, configs: Path) -> None:
    steps = "variables: {day: '{date}'}\nsteps: [{step_id: a, ps_type: generic.noop}]\n"
    file = "pipeline_id: '{org_slug}-day'\nprovider: shop\n" + steps
    (configs / "shop" / "day.yml").write_text(file)
    weeks = ("backfill", "acme", "shop/day", "--from", "2026-03-02", "--to", "2026-03-08", "--step", "week")
    refused = acme(*weeks)
    assert (refused.code, "would process only its last day" in refused.err) == (2, True), refused.err
    assert acme(*weeks, "--dry-run").code == 0
    assert acme(*weeks, "--force").code == 0
