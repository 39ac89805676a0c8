"""Bad input is refused in one clear message, with the exit code that docs/cli.md promises, and nothing is stored."""

from __future__ import annotations

import shutil
import sys
import types
from pathlib import Path

import pytest

from convergence.__main__ import main
from tests.unit.entry.conftest import Cli

HELLO = ("run", "acme", "example/hello")
KEY = ("run", "acme", "shop/key")

BAD = [
    (("statsu",), "there is no command 'statsu'. Did you mean 'status'?"),
    (("run", "acme"), "Missing argument 'PIPELINE'"),
    (("run", "acm", "example/hello"), "Unknown org: 'acm'"),
    (("run", "acm", "example/hello"), "Did you mean 'acme'?"),
    (("run", "../acme", "example/hello"), "Unknown org: '../acme'"),
    (("run", "acme", "example/helo"), "Pipeline not found: example/helo. Did you mean 'example/hello'?"),
    (("run", "acme", "../../etc/passwd"), "Pipeline not found"),
    ((*HELLO, "-p", "greting=x"), "no parameter is called 'greting'. Did you mean 'greeting'?"),
    ((*HELLO, "-p", "date=someday"), "not 'someday'"),
    ((*HELLO, "-p", "date"), "-p takes NAME=VALUE, not 'date'"),
    ((*HELLO, "-p", "date=2026-11-01", "-p", "date=2026-11-02"), "-p gives 'date' twice"),
    ((*HELLO, "-p", "start_date=2026-11-05", "-p", "end_date=2026-11-01"), "start_date 2026-11-05 is after end_date"),
    ((*HELLO, "-p", "run_id=x"), "'run_id' is set by the engine"),
    (KEY, "shop/key needs the secret 'api_key'; give it with --secret-from-env api_key=VARIABLE"),
    ((*KEY, "-p", "api_key=sk-1"), "does not belong on a command line"),
    ((*KEY, "--secret-from-env", "api_key=NO_SUCH_VARIABLE"), "the environment has no variable 'NO_SUCH_VARIABLE'"),
    ((*KEY, "--secret-from-env", "api_kye=HOME"), "declares no secret 'api_kye'. Did you mean 'api_key'?"),
    (
        (*KEY, "--secret-from-file", "api_key=nowhere.txt"),
        "the file 'nowhere.txt' for the secret 'api_key' cannot be read",
    ),
    (("status", "run_x"), "there is no run"),
    (("logs", "run_x"), "there is no run"),
    (("cancel", "run_x"), "there is no run"),
    (("replay", "run_x"), "there is no run"),
    (("status", "runs/run_x"), "there is no run"),
    (("history", "acm"), "Did you mean 'acme'?"),
    (("history", "acme", "--status", "fail"), "no run has the status 'fail'. Did you mean 'failed'?"),
    (("history", "acme", "--limit", "0"), "limit must be a number from 1 to 500, not 0"),
    (("history", "acme", "--cursor", "%%%"), "the cursor is unknown"),
    (("dead-letters", "acm"), "Did you mean 'acme'?"),
    (("query", "acm", "SELECT 1"), "Did you mean 'acme'?"),
    (("query", "acme", "SELECT 1", "--csv", "--json"), "--csv and --json cannot be combined"),
    (("query", "acme", "SELECT 1", "--csv", "--parquet", "x"), "--csv and --parquet cannot be combined"),
    (("query", "acme", "SELECT 1", "--limit", "0"), "0 is not in the range"),
    (("query", "acme", "SELEC 1"), "line 1, column 7: syntax error"),
    (("query", "acme", "SELECT * FROM cost_data"), "There is no table"),
    (("query", "acme", "SELECT * FROM other_dev.orders"), "other_dev"),
    (("query", "acme", "DELETE FROM orders WHERE TRUE"), "this statement may only read"),
    (("plan", "acm", "example/hello"), "Did you mean 'acme'?"),
    (("plan", "acme", "example/hello", "-p", "x=1"), "no parameter is called 'x'"),
    (("graph", "example/helo"), "Did you mean 'example/hello'?"),
    (("graph", "example/hello", "--format", "png"), "'png' is not one of 'svg', 'mermaid'"),
    (("graph", "example/hello", "-o", "no/such/folder.svg"), "cannot be written"),
    (("validate", "example/helo"), "there is no file, folder or pipeline 'example/helo'"),
    (("validate", "/etc"), "is not inside the configs folder"),
    (("org", "create", "acme"), "org 'acme' exists already"),
    (("org", "create", "Acme-1"), "is not an org slug"),
    (("org", "create", "beta", "--daily", "0"), "0 is not in the range"),
    (("org", "create", "beta", "--profile", "admin_email"), "--profile takes NAME=VALUE"),
    (("org", "show", "acm"), "Did you mean 'acme'?"),
    (("--synchronous", "never", "org", "list"), "'never' is not one of"),
    (("demo", "--start", "2026-11-09", "--end", "2026-11-01"), "is after its last day"),
    (("demo", "--start", "tomorrow"), "each must be a date: YYYY-MM-DD, TODAY-n or one of"),
]


@pytest.mark.parametrize(("argv", "message"), BAD, ids=[" ".join(argv) for argv, _ in BAD])
def test_bad_input_is_exit_code_2_and_one_message(acme: Cli, argv: tuple[str, ...], message: str) -> None:
    answer = acme(*argv)
    assert answer.code == 2, answer.err
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""


def test_a_refused_run_stores_nothing(acme: Cli) -> None:
    for argv, _ in BAD:
        if argv[0] == "run":
            acme(*argv)
    assert acme("history", "acme", "--json").data == {"runs": [], "cursor": None}
    assert acme("org", "show", "acme", "--json").data["usage"] == {"daily": 0, "monthly": 0, "concurrent": 0}


def test_no_command_that_only_looks_makes_a_data_directory(cli: Cli, tmp_path: Path) -> None:
    for argv in (("status",), ("logs",), ("history", "acme"), ("dead-letters", "acme"), ("org", "list"), ("resume",)):
        cli(*argv)
    for words in (("run", "acme", "example/hello"), ("query", "acme", "SELECT 1"), ("validate",), ("cancel", "run_x")):
        cli(*words)
    assert not (tmp_path / ".convergence").exists()


def test_without_a_configs_folder_the_way_to_one_is_named(acme: Cli) -> None:
    for argv in (HELLO, ("plan", *HELLO[1:]), ("validate",), ("graph", "example/hello"), ("demo",)):
        answer = acme("--configs", "elsewhere", *argv)
        assert (answer.code, "there is no configs folder 'elsewhere'" in answer.err) == (2, True)


def test_a_config_error_names_every_mistake_with_its_line_and_starts_nothing(acme: Cli, configs: Path) -> None:
    (configs / "shop" / "bad.yml").write_text(
        'pipeline_id: "{org_slug}-shop-bad"\nprovider: shop\ntimout_minutes: 5\nsteps:\n'
        "  - step_id: a\n    ps_type: generic.nop\n    depends_on: [b]\n"
    )
    answer = acme("run", "acme", "shop/bad")
    assert answer.code == 2
    for message in (
        "3 mistakes",
        "shop/bad.yml:3:1",
        "Did you mean 'timeout_minutes'",
        "shop/bad.yml:6",
        "shop/bad.yml:7",
    ):
        assert message in answer.err
    assert acme("history", "acme", "--json").data["runs"] == []


def test_errors_are_json_on_stderr_where_a_program_asks(acme: Cli, configs: Path) -> None:
    import json

    (configs / "shop" / "bad.yml").write_text("provider: shop\n")
    problems = json.loads(acme("run", "acme", "shop/bad", "--json").err)["error"]
    assert problems["code"] == "config.invalid"
    assert all(problem["where"].startswith("configs/shop/bad.yml:") for problem in problems["problems"])
    assert json.loads(acme("status", "run_x", "--json").err)["error"]["code"] == "not_found"
    assert json.loads(acme("run", "acme", "--json").err)["error"]["code"] == "input.usage"


def test_v_shows_where_an_error_comes_from(acme: Cli) -> None:
    assert "Traceback" in acme("status", "run_x", "-v").err


def test_without_a_command_there_is_help_and_no_error(cli: Cli) -> None:
    for argv in ((), ("org",)):
        answer = cli(*argv)
        assert (answer.code, answer.err) == (0, "")
        assert "Commands:" in answer.out


def test_ctrl_c_while_the_program_is_loading_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loading(types.ModuleType):
        def __getattr__(self, name: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "convergence.bootstrap", Loading("convergence.bootstrap"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


def test_every_date_option_takes_the_words_of_date_parameters(acme: Cli) -> None:
    for argv in (
        ("demo", "--start", "today", "--end", "TODAY-7"),
        ("reprice", "acme", "openai", "--from", "Yesterday", "--to", "today-7"),
    ):
        answer = acme(*argv)
        assert (answer.code, "after" in answer.err) == (2, True), answer.err


def test_a_demo_without_the_shipped_pipelines_names_the_way_to_them(cli: Cli, configs: Path) -> None:
    shutil.rmtree(configs / "openai")
    answer = cli("demo")
    assert (answer.code, answer.out) == (2, "")
    assert "the demo runs the shipped pipelines, and 'configs' does not have openai/cost/usage_cost" in answer.err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((*HELLO, "note=hi"), "In `run` a parameter of the pipeline is given as -p NAME=VALUE."),
        ((*HELLO, "-p", "note", "hi"), "In `run` a parameter of the pipeline is given as -p NAME=VALUE."),
        ((*HELLO, "--note", "hi"), "In `run` a parameter of the pipeline is given as -p NAME=VALUE."),
        (("query", "acme", "SELECT", "1"), "In `query` the statement is one argument: put it in quotes."),
        (("org", "new", "acme"), "org has no 'new'. Use one of: create, list, show."),
        (("period", "lsit"), "Did you mean 'list'?"),
        (("schedule", "set", "acme", "example/hello", "--name", "x", "--cron", "dayly"), "has 1: 'dayly'"),
        (
            ("schedule", "set", "acme", "example/hello", "--name", "x", "--cron", "daily"),
            'write @daily, or "0 0 * * *"',
        ),
    ],
)
def test_a_usual_slip_is_answered_with_what_it_should_have_been(acme: Cli, argv: tuple[str, ...], message: str) -> None:
    answer = acme(*argv)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err, answer.err
