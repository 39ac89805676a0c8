"""The command line against a running server: same words, same exit codes as in its own process."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from convergence.bootstrap import installation
from convergence.entry.cli.main import run
from tests.e2e.conftest import Installation
from tests.e2e.serving import ROOT_KEY, serving
from tests.unit.entry.conftest import CliResult
from tests.unit.processors.focus_exports import names_of

Cli = Callable[..., CliResult]
HELLO = "example/hello"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server's address, and its data directory."""
    installation = Installation(tmp_path_factory.mktemp("server") / "data")
    with serving(installation, RATE_LIMIT_ENABLED="false") as (_, api):
        yield api.removesuffix("/api/v1"), installation.data_dir


@pytest.fixture
def cli(
    server: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Cli:
    """The command in an empty folder, with the operator's key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONVERGENCE_URL", server[0])
    monkeypatch.setenv("CONVERGENCE_ROOT_KEY", ROOT_KEY)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("CONVERGENCE_API_KEY", "CONVERGENCE_ORG", "CONVERGENCE_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)

    def call(*argv: str) -> CliResult:
        capsys.readouterr()
        code = run(installation(), argv)
        captured = capsys.readouterr()
        return CliResult(code, captured.out, captured.err)

    return call


@pytest.fixture
def org(cli: Cli, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """An org of this test's own, whose key the command has from now on."""
    slug = f"org_{abs(hash(request.node.name)) % 10**8}"
    made = cli("org", "create", slug, "--daily", "50", "--json")
    assert made.code == 0, made.err
    monkeypatch.setenv("CONVERGENCE_API_KEY", made.data["api_key"])
    return slug


def test_a_run_is_followed_to_its_end(cli: Cli, org: str, tmp_path: Path) -> None:
    done = cli("run", org, HELLO)
    assert done.code == 0, done.err
    assert done.out.startswith(f"completed  {HELLO}  run_")
    assert re.search(r"\d\d:\d\d:\d\d\.\d{3}  \w+ +completed   done", done.err)
    assert list(tmp_path.iterdir()) == [], "nothing was made here"


def test_a_finished_run_is_looked_at(cli: Cli, org: str) -> None:
    done = cli("run", org, HELLO)
    run_id = done.out.split()[2]
    assert cli("status").out.splitlines()[0] == done.out.splitlines()[0]
    assert cli("status", run_id, "--json").data["status"] == "completed"
    assert [each["run_id"] for each in cli("history", org, "--json").data["runs"]] == [run_id]
    assert run_id in cli("history", org).out
    assert "completed: all steps done" in cli("logs", run_id).out
    assert {each["kind"] for each in cli("logs", "--json").data["entries"]} == {"move"}


def test_runs_are_accepted_cancelled_and_replayed(cli: Cli, org: str) -> None:
    accepted = cli("run", org, HELLO, "--no-wait", "--idempotency-key", "k1", "--json").data
    again = cli("run", org, HELLO, "--idempotency-key", "k1", "--json").data
    assert again["run_id"] == accepted["run_id"]
    late = cli("cancel", accepted["run_id"])
    assert (late.code, "is completed already; there is nothing to cancel" in late.err) == (2, True)
    refused = cli("replay", accepted["run_id"])
    assert (refused.code, "completed" in refused.err) == (2, True)
    dead_letter = cli("replay", f"{accepted['run_id']}.step.0")
    assert (dead_letter.code, f"{org} has no dead letter" in dead_letter.err) == (2, True)
    assert cli("dead-letters", "list", org).out == f"{org} has no dead letters.\n"
    assert cli("dead-letters", "list", "_all", "--by-cause", "--json").data["complete"]
    assert cli("dead-letters", "show", org, "run_1.step.0").code == 2
    assert cli("dead-letters", "discard", org, "run_1.step.0", "--reason", "none").code == 2
    assert cli("dead-letters", "send", "_all", "message.1").code == 2
    assert cli("plan", org, HELLO, "--json").data["pipeline"] == HELLO


def test_the_beginning_of_a_runs_id_and_a_wrong_step_are_treated_as_in_this_process(cli: Cli, org: str) -> None:
    run_id = cli("run", org, HELLO, "--json").data["run_id"]
    assert cli("status", run_id[:12], "--json").data["run_id"] == run_id
    assert f"run {run_id} is completed already" in cli("cancel", run_id[:12]).err
    assert cli("replay", run_id[:12]).code != 0
    wrong = cli("logs", run_id[:12], "--step", "nope")
    assert (wrong.code, f"{run_id} has no step 'nope'" in wrong.err) == (2, True)


def test_a_query_is_answered_by_the_server_as_in_this_process(cli: Cli, org: str) -> None:
    sql = "SELECT NUMERIC '1.50' AS money, TIMESTAMP '2026-11-07 01:02:03+00:00' AS at"
    assert cli("query", org, sql, "--output", "csv").out == "money,at\n1.5,2026-11-07T01:02:03Z\n"
    assert cli("query", org, sql, "--json").data["rows"] == [{"money": "1.5", "at": "2026-11-07T01:02:03+00:00"}]
    wrong = cli("query", org, "SELECT * FROM missing")
    assert (wrong.code, "missing" in wrong.err) == (2, True)
    assert "at most 10,000" in cli("query", org, sql, "--limit", "10001").err


def test_a_report_is_answered_by_the_server(cli: Cli, org: str) -> None:
    assert "by_service" in cli("report", org).out
    assert cli("report", org, "forecast", "--csv").out == "month,provider,currency,charged_until,billed,forecast\n"
    wrong = cli("report", "strange", "forecast")
    assert (wrong.code, wrong.out) == (1, ""), "another org than the key's"


def test_periods_invoices_and_focus_files_go_through_the_server(cli: Cli, org: str) -> None:
    assert cli("period", "close", org, "2026-10", "OpenAI", "org-1").code == 0
    invoice = ("invoice", "add", org, "INV-1", "--issuer", "OpenAI", "--account", "org-1", "--month", "2026-10")
    (added,) = cli(*invoice, "--amount", "12.5", "--currency", "USD", "--json").data["invoices"]
    assert cli("invoice", "list", org, "--json").data["invoices"] == [added]
    again = cli(*invoice, "--amount", "12.5", "--currency", "USD")
    assert (again.code, "recorded already" in again.err) == (1, True)
    (compared,) = cli("period", "reconcile", org, "--from", "2026-10", "--json").data["periods"]
    assert (compared["invoiced"], compared["state"]) == ("12.5", "over")
    days = ("-p", "start_date=2026-10-01", "-p", "end_date=2026-10-31")
    assert cli("run", org, "focus/export", *days).code == 0, "makes the table of charges"
    done = cli("export", "focus", org, "--from", "2026-10", "--format", "csv", "--to-url", "focus")
    assert done.code == 0, done.err
    files = ["BillingPeriod.csv", "CostAndUsage.csv", "InvoiceDetail.csv", "manifest.json"]
    assert names_of(Path("focus/1.4/2026-10")) == files
    parquet = cli("export", "focus", org, "--from", "2026-10", "--to-url", "focus")
    assert parquet.code == 0, parquet.err
    files = ["BillingPeriod.parquet", "CostAndUsage.parquet", "InvoiceDetail.parquet", "manifest.json"]
    assert names_of(Path("focus/1.4/2026-10")) == files
    assert cli("invoice", "void", org, "OpenAI", "INV-1", "--json").data["invoices"][0]["status"] == "Voided"
    assert cli("period", "reopen", org, "2026-10", "OpenAI", "org-1", "--reason", "restated").code == 0
    (period,) = cli("period", "list", org, "--json").data["periods"]
    assert [each["reason"] for each in period["changes"]] == ["", "restated"]


def test_the_operator_makes_orgs(cli: Cli) -> None:
    made = cli("org", "create", "operated", "--name", "Operated", "--concurrent", "3", "--profile", "admin_email=a@b.c")
    assert (made.code, made.out.startswith("cvk_")) == (0, True)
    assert cli("org", "create", "operated").code == 1
    shown = cli("org", "show", "operated", "--json").data
    assert (shown["limits"]["concurrent"], shown["profile"], shown["usage"]["concurrent"]) == (
        3,
        {"admin_email": "a@b.c"},
        0,
    )
    assert "operated" in cli("org", "list").out


def test_the_operator_makes_rotates_and_revokes_keys(cli: Cli) -> None:
    assert cli("org", "create", "keyed").code == 0
    key = cli("key", "create", "keyed", "--name", "ci", "--scope", "read", "--json").data
    assert (key["api_key"][:4], key["scopes"]) == ("cvk_", ["read"])
    assert cli("key", "rotate", "keyed", key["key_id"], "--json").data["scopes"] == ["read"]
    assert cli("key", "revoke", "keyed", key["key_id"]).out == f"revoked {key['key_id']}\n"
    assert len(cli("key", "list", "keyed", "--json").data["keys"]) == 3


def test_an_org_without_credentials_has_an_empty_list(cli: Cli) -> None:
    assert cli("org", "create", "bare").code == 0
    assert cli("integration", "list", "bare", "--json").data == {"credentials": []}
    assert cli("integration", "delete", "bare", "openai", "cred_0").code == 2


def test_the_operator_synchronises_and_removes_procedures(cli: Cli) -> None:
    synced = cli("procedures", "sync", "--json").data["synced"]
    assert synced
    assert {each["state"] for each in cli("procedures", "list", "--json").data["procedures"]} == {"current"}
    assert cli("procedures", "delete", synced[0]).code == 0
    assert cli("migrate", "000_no_such_migration").code == 2
    assert cli("migrate", "--dry-run", "--json").data["dry_run"] is True
    assert cli("migrate").code == 0


def test_a_secret_is_refused_on_the_command_line_before_it_is_sent(cli: Cli) -> None:
    refused = cli("integration", "setup", "operated", "openai", "-p", "api_key=sk-very-secret")
    assert (refused.code, "is a secret and does not belong on a command line" in refused.err) == (2, True)
    assert "sk-very-secret" not in refused.err


@pytest.mark.parametrize(
    ("argv", "step"),
    [
        (("query", "acme", "SELECT 1", "--output", "parquet"), "where the data directory is"),
        (("demo",), "omit --url and --profile"),
        (("resume",), "finishes by itself"),
    ],
)
def test_what_the_api_cannot_do_names_the_next_step(cli: Cli, argv: tuple[str, ...], step: str) -> None:
    refused = cli(*argv)
    assert (refused.code, step in refused.err) == (2, True), refused.err


def test_refusals_of_the_server_keep_code_and_exit_code(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = cli("history", "nobody_here", "--json")
    assert (unknown.code, json.loads(unknown.err)["error"]["code"]) == (2, "not_found")
    monkeypatch.setenv("CONVERGENCE_API_KEY", "cvk_wrong")
    wrong = cli("history", "operated", "--json")
    assert (wrong.code, json.loads(wrong.err)["error"]["code"]) == (1, "unauthenticated")
    monkeypatch.delenv("CONVERGENCE_API_KEY")
    monkeypatch.delenv("CONVERGENCE_ROOT_KEY")
    keyless = cli("history", "operated")
    assert (keyless.code, "CONVERGENCE_API_KEY" in keyless.err) == (1, True)
    monkeypatch.setenv("CONVERGENCE_ROOT_KEY", ROOT_KEY)
    gone = cli("history", "operated", "--url", "http://127.0.0.1:9", "--json")
    assert (gone.code, json.loads(gone.err)["error"]["code"]) == (1, "server.unreachable")


def test_the_server_that_has_the_data_is_found_by_its_lock(
    cli: Cli, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONVERGENCE_URL")
    here = ("--data-dir", str(server[1]))
    made = cli(*here, "org", "create", "found_by_lock", "--json")
    assert made.code == 0, made.err
    assert cli(*here, "run", "found_by_lock", HELLO).code == 0
    assert cli(*here, "history", "found_by_lock", "--json").data["runs"][0]["status"] == "completed"
    assert cli(*here, "query", "found_by_lock", "SELECT 1 AS n", "--csv").out == "n\n1\n"
    monkeypatch.delenv("CONVERGENCE_ROOT_KEY")
    locked = cli(*here, "run", "found_by_lock", HELLO)
    assert (locked.code, "set CONVERGENCE_API_KEY or CONVERGENCE_ROOT_KEY" in locked.err) == (4, True)


def test_a_profile_names_a_server_and_is_refused_when_others_may_read_it(
    cli: Cli, server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CONVERGENCE_URL", "CONVERGENCE_ROOT_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "config" / "convergence" / "profiles.toml"
    file.parent.mkdir(parents=True)
    assert "so no profile 'work'" in cli("org", "list", "--profile", "work").err
    file.write_text(f'[work]\nurl = "{server[0]}"\nroot_key = "{ROOT_KEY}"\n')
    file.chmod(0o644)
    readable = cli("org", "list", "--profile", "work")
    assert (readable.code, "chmod 600" in readable.err, ROOT_KEY in readable.err) == (2, True, False)
    file.chmod(0o600)
    assert cli("org", "list", "--profile", "work").code == 0
    assert "Did you mean 'work'" in cli("org", "list", "--profile", "wrok").err
    file.write_text(f'[work]\nurl = "{server[0]}"\nroot_kee = "{ROOT_KEY}"\n')
    mistyped = cli("org", "list", "--profile", "work")
    assert (mistyped.code, "root_kee is unknown" in mistyped.err, ROOT_KEY in mistyped.err) == (2, True, False)


@pytest.mark.parametrize("url", ["http://convergence.example", "ftp://127.0.0.1", "convergence.example", ""])
def test_no_key_goes_in_clear_through_a_network(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not url:
        monkeypatch.setenv("CONVERGENCE_URL", "http://10.0.0.1:8001")
    refused = cli("org", "list", *(("--url", url) if url else ()))
    assert (refused.code, "use https" in refused.err or "is not the address of a server" in refused.err) == (2, True)
