"""Commands for those who write pipelines, the org commands, help, and what docs/cli.md says of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from convergence.config.model.json_schema import schema_text
from convergence.entry.cli import main
from convergence.errors import ConvergenceError
from tests.unit.entry.command_tree import commands
from tests.unit.entry.conftest import Cli

EVERYWHERE = {"--data-dir", "--configs", "--synchronous", "--url", "--profile", "--json", "--verbose"}
DOCS = Path(__file__).parents[3] / "docs" / "cli.md"


@pytest.mark.parametrize("name", list(commands()))
def test_help_has_an_example_that_begins_with_the_command(cli: Cli, name: str) -> None:
    answer = cli(*name.split(), "--help")
    assert answer.code == 0
    assert f"Example:\n    convergence {name}" in answer.out


def test_what_runs_by_itself_has_its_commands() -> None:
    words = ("list", "show", "set", "pause", "resume", "delete", "next", "trigger")
    needed = {f"schedule {word}" for word in words}
    needed |= {f"dead-letters {word}" for word in ("list", "show", "replay", "discard")}
    assert needed | {"queue", "backfill", "vacuum", "processors"} <= set(commands())


def test_the_manual_names_every_command_option_and_exit_code() -> None:
    text = DOCS.read_text("utf-8")
    for name, command in commands().items():
        assert f"convergence {name}" in text, name
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert max(option.opts, key=len) in text, (name, option.opts)
    for code in ("| 0 |", "| 1 |", "| 2 |", "| 4 |", "| 130 |", "| 143 |"):
        assert code in text


def test_the_manual_gives_each_command_exactly_its_own_options() -> None:
    rows = [row.split(" | ") for row in DOCS.read_text("utf-8").splitlines() if row.startswith("| `convergence ")]
    named = {name.strip(): row for row in rows for name in re.findall(r"`convergence ([a-z -]+)", row[0])}
    assert set(named) == set(commands())
    for name, command in commands().items():
        own = {max(option.opts, key=len) for option in command.params if isinstance(option, click.Option)}
        own |= {each for option in command.params for each in option.secondary_opts}
        assert {option for option in own - EVERYWHERE if f"`{option}`" not in " ".join(named[name])} == set(), name
    for row in rows:
        known = {option for name in named if named[name] is row for option in _options(name)}
        assert set(re.findall(r"`(--[a-z-]+)`", row[-1])) <= known, row


def _options(name: str) -> set[str]:
    return {each for option in commands()[name].params for each in (*option.opts, *option.secondary_opts)}


def test_validate_counts_what_it_checked(cli: Cli) -> None:
    answer = cli("validate", "--json")
    assert (answer.code, answer.data["ok"], answer.data["problems"]) == (0, True, [])
    assert answer.data["checked"]["pipeline"] >= 5
    assert cli("validate", "example/hello").out == "ok  1 pipeline\n"


def test_validate_shows_all_mistakes_of_all_files(cli: Cli, configs: Path) -> None:
    (configs / "shop" / "one.yml").write_text("provider: shop\nsteps: 5\n")
    (configs / "shop" / "two.yml").write_text('pipeline_id: "x"\npipeline_id: "y"\n')
    answer = cli("validate", "configs/shop")
    assert answer.code == 2
    assert "shop/one.yml:" in answer.err
    assert "shop/two.yml:2" in answer.err
    problems = cli("validate", "--json").data["problems"]
    assert {problem["where"].partition(":")[0] for problem in problems} == {
        "configs/shop/one.yml",
        "configs/shop/two.yml",
    }


def test_a_plan_that_could_not_run_is_refused_as_a_run_would_be(acme: Cli) -> None:
    planned, run = acme("plan", "acme", "openai/cost/usage_cost"), acme("run", "acme", "openai/cost/usage_cost")
    assert planned.code == run.code == 2
    assert planned.err == run.err
    assert "acme has no credential for 'openai'; store one with: convergence run acme openai/auth/setup" in run.err


def test_a_plan_shows_order_limits_and_tables_and_changes_no_file(acme: Cli, configs: Path, tmp_path: Path) -> None:
    key = configs / "shop" / "key.yml"
    key.write_text(key.read_text().replace("config: {provider: shop}", "config: {provider: openai}"))
    assert acme("run", "acme", "shop/key", "--secret-from-env", "api_key=HOME").code == 0
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    answer = acme("plan", "acme", "openai/cost/usage_cost", "-p", "date=2026-11-07", "--json")
    assert answer.code == 0, answer.err
    steps = [step["step_id"] for step in answer.data["steps"]]
    assert steps.index("extract_usage") < steps.index("calculate_costs") < steps.index("convert_focus")
    assert answer.data["dates"] == {"start_date": "2026-11-07", "end_date": "2026-11-07"}
    assert "cost_data_standard_1_3" in answer.data["tables"]["written"]
    assert answer.data["limits"]["daily"] == {"used": 1, "limit": 100}
    assert "calculate_costs" in acme("plan", "acme", "openai/cost/usage_cost").out
    after = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    changed = {file.name for file in after.keys() | before.keys() if before.get(file) != after.get(file)}
    assert changed <= {"state.db-shm", "state.db-wal"}  # SQLite's own, of any look


def test_a_plan_needs_no_secret_and_tells_none(acme: Cli) -> None:
    answer = acme("plan", "acme", "shop/key", "--json")
    assert (answer.code, answer.data["secrets"]) == (0, ["api_key"])
    assert "api_key" not in answer.data["parameters"]


def test_a_graph_goes_to_stdout_or_a_file(cli: Cli, tmp_path: Path) -> None:
    assert cli("graph", "example/hello").out.startswith("<svg")
    assert cli("graph", "example/hello", "--format", "mermaid").out.startswith("flowchart LR")
    assert cli("graph", "example/hello", "-o", "hello.svg").code == 0
    assert cli("graph", "example/hello", "-o", "hello.mmd").code == 0
    assert (tmp_path / "hello.svg").read_text().startswith("<svg")
    assert (tmp_path / "hello.mmd").read_text().startswith("flowchart")


def test_the_schema_is_that_of_the_models(cli: Cli, configs: Path) -> None:
    assert json.loads(cli("schema").out) == json.loads(schema_text())
    (configs / "pipeline.schema.json").unlink()
    assert cli("schema", "--write").code == 0
    assert (configs / "pipeline.schema.json").read_text("utf-8") == schema_text()


def test_orgs_are_created_listed_and_shown(cli: Cli) -> None:
    assert "There are no orgs yet" in cli("org", "list").out
    cli("org", "create", "acme", "--name", "Acme Inc.", "--daily", "6", "--profile", "admin_email=ops@acme.example")
    assert [org["slug"] for org in cli("org", "list", "--json").data["orgs"]] == ["acme"]
    shown = cli("org", "show", "acme")
    for message in ("Acme Inc.", "0 of 6", "admin_email = ops@acme.example"):
        assert message in shown.out


def test_a_query_answers_as_table_csv_and_json_with_every_digit(acme: Cli) -> None:
    sql = "SELECT 'a,b' AS word, NUMERIC '1.50' AS money, DATE '2026-11-07' AS day, CAST(NULL AS STRING) AS nothing"
    assert acme("query", "acme", sql, "--csv").out == 'word,money,day,nothing\n"a,b",1.5,2026-11-07,\n'
    rows = acme("query", "acme", sql, "--json").data["rows"]
    assert rows == [{"word": "a,b", "money": "1.5", "day": "2026-11-07", "nothing": None}]
    assert acme("query", "acme", sql).out.splitlines()[1].split() == ["a,b", "1.5", "2026-11-07"]


def test_a_wide_row_is_shown_a_value_a_line(acme: Cli) -> None:
    sql = "SELECT 'a' AS short, NUMERIC '1.50' AS much_longer"
    assert acme("query", "acme", sql, "--output", "vertical").out == "row 1\n  short        a\n  much_longer  1.5\n"
    assert acme("query", "acme", sql, "--output", "json").data["columns"] == ["short", "much_longer"]
    assert acme("query", "acme", sql, "--output", "csv").out == acme("query", "acme", sql, "--csv").out
    assert "--output and --csv cannot be combined" in acme("query", "acme", sql, "--output", "json", "--csv").err


def test_times_in_csv_are_in_utc_and_keep_their_fraction(acme: Cli) -> None:
    sql = "SELECT TIMESTAMP '2026-11-07 01:02:03.456789+02:00' AS at, TIMESTAMP '2026-11-07 00:00:00+00' AS day"
    assert acme("query", "acme", sql, "--csv").out == "at,day\n2026-11-06T23:02:03.456789Z,2026-11-07T00:00:00Z\n"


def test_a_query_writes_parquet_with_the_types_of_its_columns(acme: Cli, tmp_path: Path) -> None:
    import duckdb

    file = tmp_path / "rows.parquet"
    sql = (
        "SELECT n, CAST(n AS BIGNUMERIC) / 3 AS money, CAST(NULL AS STRING) AS nothing, DATE '2026-11-07' AS day,"
        " TIMESTAMP '2026-11-07 01:02:03+00:00' AS at FROM UNNEST(GENERATE_ARRAY(1, 9)) AS n ORDER BY n"
    )
    written = acme("query", "acme", sql, "--parquet", str(file), "--limit", "3", "--json").data
    assert written == {"file": str(file), "rows": 3}
    found = duckdb.execute(f"DESCRIBE SELECT * FROM read_parquet('{file}')").fetchall()
    assert {name: kind for name, kind, *_ in found} == {
        "n": "BIGINT",
        "money": "DECIMAL(38,18)",
        "nothing": "VARCHAR",
        "day": "DATE",
        "at": "TIMESTAMP WITH TIME ZONE",
    }
    assert [row[0] for row in duckdb.execute(f"SELECT n FROM read_parquet('{file}')").fetchall()] == [1, 2, 3]
    refused = acme("query", "acme", "SELECT * FROM organizations.secrets", "--parquet", str(tmp_path / "no.parquet"))
    assert refused.code == 2
    assert [path.name for path in tmp_path.glob("*.parquet*")] == ["rows.parquet"]


def test_a_query_is_cut_at_its_limit_and_says_so(acme: Cli) -> None:
    answer = acme(
        "query", "acme", "SELECT n FROM UNNEST(GENERATE_ARRAY(1, 9)) AS n ORDER BY n", "--limit", "3", "--csv"
    )
    assert answer.out == "n\n1\n2\n3\n"
    assert "only the first 3 rows" in answer.err


def test_global_options_stand_before_or_behind_the_command(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("--data-dir", "one", "org", "create", "acme")
    assert [org["slug"] for org in cli("org", "list", "--json", "--data-dir", "one").data["orgs"]] == ["acme"]
    monkeypatch.setenv("CONVERGENCE_DATA_DIR", "one")
    assert cli("--json", "org", "list").data["orgs"] != []
    assert cli("--json", "org", "list", "--data-dir", "two").data["orgs"] == []
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(
    cli: Cli, shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = cli("completion", shell)
    assert (script.code, f"_CONVERGENCE_COMPLETE={shell}_complete" in script.out) == (0, True)
    monkeypatch.setenv("_CONVERGENCE_COMPLETE", f"{shell}_complete")
    for words, expected in (("convergence re", "resume"), ("convergence history --st", "--status")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", words.split()[-1] if shell == "fish" else str(len(words.split()) - 1))
        with pytest.raises(SystemExit) as end:
            cli()
        assert (end.value.code, expected in capsys.readouterr().out) == (0, True)


def test_the_exit_codes_are_those_of_the_page() -> None:
    table = DOCS.read_text("utf-8").partition("## Exit codes")[2].partition("\n## ")[0]
    reported = {int(line.split("|")[1]) for line in table.splitlines() if line[2:3].isdigit()}
    given = {main.OK, main.FAILED, main.BAD_INPUT, main.LOCKED, main.INTERRUPTED, main.TERMINATED}
    assert reported == given
    kinds = [ConvergenceError]
    while kinds:
        kind = kinds.pop()
        assert kind.exit_code in reported, kind
        kinds += kind.__subclasses__()


OLDER = (
    "pipeline_id: older  # its id\nsteps:\n  - {id: load, type: bq_execute, config: {sql: SELECT 1}, retry_policy: 3}\n"
)


def test_explain_shows_todays_words_and_migrate_config_writes_them(cli: Cli, configs: Path) -> None:
    file = configs / "shop" / "older.yml"
    file.write_text(OLDER)
    shown = cli("validate", "--explain", "configs/shop/older.yml").out
    assert "step_id: load\n    ps_type: generic.bq_execute" in shown
    assert cli("validate", "--explain", "shop/older", "--json").data["shop/older"]["steps"][0]["step_id"] == "load"
    assert cli("migrate-config", "shop/older", "--print").out.startswith("# its id\npipeline_id: older\n")
    assert file.read_text() == OLDER
    assert cli("migrate-config", "configs/shop/older.yml").out == "rewrote shop/older.yml\n"
    assert "max_attempts: 3" in file.read_text()
    assert [each.name for each in file.parent.iterdir() if "older" in each.name] == ["older.yml"]


def test_what_is_not_one_pipeline_cannot_be_explained(cli: Cli) -> None:
    assert "name the file" in cli("validate", "--explain").err
    assert "is not the file of one pipeline" in cli("migrate-config", "system/plans.yml").err
    assert "is not the file of one pipeline" in cli("migrate-config", "openai").err
    assert "Did you mean 'shop/load'" in cli("migrate-config", "shop/laod").err


def test_the_installed_processors_are_listed_with_module_package_and_schema(cli: Cli) -> None:
    listed = {each["ps_type"]: each for each in cli("processors", "--json").data["processors"]}
    assert listed["generic.noop"]["module"] == "convergence.processors.generic.noop"
    assert listed["generic.noop"]["packages"] == ["convergence-pipelines"]
    assert not [each for each in listed.values() if each["problem"]]
    assert "generic.noop" in cli("processors").out
    one = cli("processors", "generic.api_extractor", "--json").data
    assert "properties" in one["config_schema"]
    assert cli("processors", "api_extractor").out.startswith("generic.api_extractor")
    unknown = cli("processors", "generic.nop")
    assert (unknown.code, "Did you mean 'generic.noop'" in unknown.err) == (2, True)
