"""With --json every command answers with one JSON document on stdout, or with an error as one JSON line on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.entry.command_tree import commands
from tests.unit.entry.conftest import Cli

UNTIL_CTRL_C = {"serve", "sandbox start"}  # tests/e2e/test_serve.py reads the line that they print
NODES = "node_id,name,level,parent_id,cost_center\nd1,Research,department,,4711\n"
INVOICES = (
    "InvoiceIssuerName,BillingAccountId,BillingPeriodStart,InvoiceId,BillingCurrency,BilledCost\n"
    "OpenAI,org-1,2026-10-01,INV-2,USD,10\n"
)
OLDER = "pipeline_id: older\nsteps:\n  - {id: load, type: bq_execute, config: {sql: SELECT 1}}\n"
PERIOD = ("acme", "2026-10", "OpenAI", "org-1")
DAYS = ("--from", "2026-11-01", "--to", "2026-11-02")
FIELDS = (
    "subscription_id=design", "vendor=Figma", "plan=Team", "seats=12", "unit_price=45", "currency=USD",
    "starts_on=2026-11-01",
)  # fmt: skip
GOOD_FILE = "file=openai/seed/subscription_plans.csv"

# In an order in which each finds what it needs. {run} is the latest run's id, {letter} the latest dead letter's, and
# so on. Beside each call stands its exit code.
CALLS: list[tuple[tuple[str, ...], int]] = [
    (("org", "create", "acme", "--daily", "1000", "--monthly", "10000"), 0),
    (("doctor",), 1),
    (("org", "list"), 0),
    (("org", "show", "acme"), 0),
    (("init", "elsewhere"), 0),
    (("new", "pipeline", "acme/usage/hello"), 0),
    (("new", "provider", "initech"), 0),
    (("new", "procedure", "sp_acme_totals"), 0),
    (("new", "processor", "acme.invoices"), 0),
    (("validate", "example/hello"), 0),
    (("migrate-config", "shop/older", "--print"), 0),
    (("migrate-config", "shop/older"), 0),
    (("validate", "--explain", "shop/older"), 0),
    (("configs", "diff"), 0),
    (("pipelines",), 0),
    (("params", "example/hello"), 0),
    (("plan", "acme", "example/hello"), 0),
    (("graph", "example/hello"), 0),
    (("graph", "example/hello", "-o", "hello.svg"), 0),
    (("schema",), 0),
    (("schema", "--write"), 0),
    (("schema", "dispatch"), 0),
    (("processors",), 0),
    (("completion", "fish"), 0),
    (("run", "acme", "example/hello"), 0),
    (("run", "acme", "example/hello", "--no-wait"), 0),
    (("resume",), 0),
    (("run", "acme", "example/hello", "--no-wait"), 0),
    (("cancel", "{run}"), 0),
    (("status",), 0),
    (("history", "acme"), 0),
    (("logs",), 0),
    (("run", "acme", "shop/load"), 1),
    (("dead-letters", "list", "acme"), 0),
    (("dead-letters", "list", "acme", "--by-cause"), 0),
    (("dead-letters", "show", "acme", "{letter}"), 0),
    (("dead-letters", "replay", "{letter}"), 1),
    (("replay", "{run}", "-p", GOOD_FILE), 0),
    (("run", "acme", "shop/load"), 1),
    (("dead-letters", "replay-all", "acme", "--pipeline", "shop/load", "-p", GOOD_FILE), 0),
    (("dead-letters", "replays", "acme"), 0),
    (("dead-letters", "pause", "acme", "{replay}"), 2),
    (("dead-letters", "resume", "acme", "{replay}"), 2),
    (("dead-letters", "cancel", "acme", "{replay}"), 2),
    (("dead-letters", "send", "acme", "{letter}"), 2),
    (("run", "acme", "shop/load"), 1),
    (("dead-letters", "discard", "acme", "{letter}", "--reason", "not ours"), 0),
    (("dead-letters", "discard-all", "acme", "--reason", "not ours", "--dry-run"), 0),
    (("query", "acme", "SELECT 1 AS one"), 0),
    (("tables", "acme"), 0),
    (("schemas", "infer", "acme", "openai_subscription_plans"), 0),
    (("schemas", "sync", "--dry-run"), 0),
    (("report", "acme"), 0),
    (("hierarchy", "import", "acme", "nodes.csv"), 0),
    (("hierarchy", "show", "acme"), 0),
    (("hierarchy", "find", "acme", "cost_center", "4711"), 0),
    (("invoice", "import", "acme", "invoices.csv"), 0),
    (("invoice", "add", "acme", "INV-1", "--issuer", "OpenAI", "--account", "org-1", "--month", "2026-10",
      "--amount", "5", "--currency", "USD"), 0),
    (("invoice", "list", "acme"), 0),
    (("invoice", "void", "acme", "OpenAI", "INV-1"), 0),
    (("period", "open", *PERIOD), 0),
    (("period", "close", *PERIOD), 0),
    (("period", "reopen", *PERIOD, "--reason", "a late charge"), 0),
    (("period", "publish", "acme", "--from", "2026-10"), 0),
    (("period", "list", "acme"), 0),
    (("period", "reconcile", "acme", "--from", "2026-10"), 0),
    (("export", "focus", "acme", "--from", "2026-10", "--to-url", "elsewhere"), 0),
    (("trace", "acme", "no-charge"), 2),
    (("subscription", "set", "acme", *(word for field in FIELDS for word in ("-p", field))), 0),
    (("subscription", "import", "acme", "plans.csv"), 0),
    (("subscription", "list", "acme"), 0),
    (("subscription", "remove", "acme", "design"), 0),
    (("integration", "setup", "acme", "initech", "--secret-from-env", "api_key=SHOP_KEY"), 0),
    (("integration", "list", "acme"), 0),
    (("integration", "validate", "acme", "initech"), 2),
    (("integration", "reseal", "acme"), 0),
    (("integration", "delete", "acme", "initech", "{credential}"), 0),
    (("reprice", "acme", "openai", *DAYS), 0),
    (("key", "create", "acme"), 0),
    (("key", "list", "acme"), 0),
    (("key", "rotate", "acme", "{key}"), 0),
    (("key", "revoke", "acme", "{key}"), 0),
    (("webhooks", "create", "acme", "http://127.0.0.1:9/x"), 0),
    (("webhooks", "list", "acme"), 0),
    (("webhooks", "show", "acme", "{webhook}"), 0),
    (("webhooks", "update", "acme", "{webhook}", "--disable"), 0),
    (("webhooks", "rotate", "acme", "{webhook}"), 0),
    (("webhooks", "test", "acme", "{webhook}"), 1),  # nothing listens there
    (("webhooks", "deliveries", "acme"), 0),
    (("webhooks", "delete", "acme", "{webhook}"), 0),
    (("schedule", "set", "acme", "example/hello", "--name", "often", "--cron", "0 5 * * *"), 0),
    (("schedule", "list", "acme"), 0),
    (("schedule", "show", "acme", "{schedule}"), 0),
    (("schedule", "next", "acme", "{schedule}"), 0),
    (("schedule", "pause", "acme", "{schedule}"), 0),
    (("schedule", "resume", "acme", "{schedule}"), 0),
    (("schedule", "trigger", "acme", "{schedule}"), 0),
    (("schedule", "delete", "acme", "{schedule}"), 0),
    (("backfill", "acme", "example/hello", *DAYS, "--dry-run"), 0),
    (("backfill", "acme", "example/hello", *DAYS), 0),
    (("backfills", "list", "acme"), 0),
    (("backfills", "pause", "acme", "{backfill}"), 2),
    (("backfills", "resume", "acme", "{backfill}"), 2),
    (("backfills", "cancel", "acme", "{backfill}"), 2),
    (("pipeline", "pause", "acme", "example/hello", "--reason", "quiet"), 0),
    (("pipeline", "paused", "acme"), 0),
    (("pipeline", "resume", "acme", "example/hello"), 0),
    (("queue",), 0),
    (("procedures", "list"), 0),
    (("procedures", "sync"), 0),
    (("procedures", "delete", "sp_acme_totals"), 0),
    (("migrate", "--dry-run"), 0),
    (("vacuum", "--dry-run"), 0),
    (("backup", "copy"), 0),
    (("--data-dir", "restored", "restore", "copy"), 0),
    (("--data-dir", "for_the_demo", "demo", "--start", "2026-11-01", "--end", "2026-11-01"), 0),
]  # fmt: skip


def name_of(argv: tuple[str, ...]) -> str:
    """Return the command's full name."""
    words = argv[2:] if argv[0].startswith("--") else argv
    return next(name for name in (" ".join(words[:2]), words[0]) if name in commands())


LISTS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "run": (("history", "acme"), "runs", "run_id"),
    "letter": (("dead-letters", "list", "acme"), "dead_letters", "letter_id"),
    "replay": (("dead-letters", "replays", "acme"), "replays", "replay_id"),
    "credential": (("integration", "list", "acme"), "credentials", "credential_id"),
    "key": (("key", "list", "acme"), "keys", "key_id"),
    "webhook": (("webhooks", "list", "acme"), "webhooks", "webhook_id"),
    "schedule": (("schedule", "list", "acme"), "schedules", "schedule_id"),
    "backfill": (("backfills", "list", "acme"), "backfills", "backfill_id"),
}


def filled(cli: Cli, word: str) -> str:
    """Return a word with the id that stands first in the list that it names."""
    if not word.startswith("{"):
        return word
    argv, of, field = LISTS[word.strip("{}")]
    return str(cli(*argv, "--json").data[of][0][field])


def test_each_command_is_called() -> None:
    assert {name_of(argv) for argv, _ in CALLS} | UNTIL_CTRL_C == set(commands()), "add a new command to CALLS"


def test_each_command_answers_in_json(cli: Cli, configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "sk-very-secret-1")
    (configs / "shop" / "older.yml").write_text(OLDER)
    for name, text in (("nodes.csv", NODES), ("invoices.csv", INVOICES)):
        (tmp_path / name).write_text(text)
    header = ",".join(field.partition("=")[0] for field in FIELDS)
    (tmp_path / "plans.csv").write_text(f"{header}\n{','.join(field.partition('=')[2] for field in FIELDS)}\n")
    for argv, code in CALLS:
        call = [filled(cli, word) for word in argv]
        answer = cli(*call, "--json")
        assert answer.code == code, (call, answer.err, answer.out)
        if code == 2:
            assert answer.out == "", call
            assert json.loads(answer.err.splitlines()[-1])["error"]["code"], call
        else:
            assert isinstance(answer.data, dict), call


def test_the_version_is_json_too_on_either_side_of_the_option(cli: Cli) -> None:
    plain = cli("--version").out.strip()
    for words in (("--version", "--json"), ("--json", "--version")):
        assert cli(*words).data == {"version": plain}
