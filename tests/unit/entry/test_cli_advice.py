"""Advice fits who reads it: at a terminal, of a server, in a folder that is not the one of the work."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from convergence.entry.cli.profiles import Profile
from convergence.entry.cli.server import Server
from convergence.errors import ConvergenceError
from tests.unit.entry.conftest import Cli

REFUSAL = {"detail": "Send a valid key: X-API-Key for an org.", "code": "unauthenticated"}


@pytest.mark.parametrize(
    ("profile", "name"),
    [
        (Profile(url="http://127.0.0.1:1", api_key="bad"), "CONVERGENCE_API_KEY"),
        (Profile(url="http://127.0.0.1:1", root_key="bad"), "CONVERGENCE_ROOT_KEY"),
    ],
)
def test_a_key_that_a_server_refuses_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, profile: Profile, name: str
) -> None:
    server = Server(profile)
    transport = httpx.MockTransport(lambda _: httpx.Response(401, content=json.dumps(REFUSAL)))
    client = httpx.Client(transport=transport)
    monkeypatch.setattr(server, "_http", lambda: client)
    with pytest.raises(ConvergenceError) as caught:
        server.get("/pipelines")
    assert f"does not accept this key ({name}, or the one of the profile)" in str(caught.value)
    assert "`convergence key create ORG` makes one" in str(caught.value)
    assert "X-API-Key" not in str(caught.value)
    assert caught.value.code == "unauthenticated"


def test_csv_goes_to_stdout_and_a_folder_has_to_be_there(acme: Cli) -> None:
    for file in ("/nowhere/x.csv", "x.csv", "out/charges.csv"):
        answer = acme("query", "acme", "SELECT 1 AS n", "--csv", file)
        assert (answer.code, "takes no file: write `--csv > FILE`" in answer.err) == (2, True), answer.err
    spread = acme("query", "acme", "SELECT", "1")
    assert "the statement is one argument: put it in quotes" in spread.err
    missing = acme("query", "acme", "SELECT 1 AS n", "--parquet", "nowhere/x.parquet")
    assert (missing.code, "there is no folder 'nowhere' to write into" in missing.err) == (2, True)


def test_without_a_configs_folder_the_way_to_one_is_named(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    answer = cli("demo")
    assert (answer.code, "convergence init FOLDER makes one" in answer.err) == (2, True), answer.err


def test_a_processor_that_was_made_and_not_installed_is_installed_next(cli: Cli, configs: Path) -> None:
    assert cli("new", "processor", "zorg.thing").code == 0
    for words in (("processors", "zorg.thing"), ("validate", "shop/slip")):
        (configs / "shop/slip.yml").write_text(
            'pipeline_id: "{org_slug}-shop-slip"\nprovider: shop\nsteps: [{step_id: run_it, ps_type: zorg.thing}]\n'
        )
        answer = cli(*words)
        assert (answer.code, "not installed: pip install -e zorg_convergence" in answer.err) == (2, True), answer.err


def test_ids_of_charges_are_found_by_a_query(acme: Cli) -> None:
    answer = acme("trace", "acme", "nope")
    assert answer.code == 2
    assert "convergence query acme 'SELECT x_ChargeId, BilledCost FROM cost_data_standard_1_3 LIMIT 10'" in answer.err


def test_a_replay_after_a_change_of_the_file_names_the_way_to_use_it(acme: Cli, configs: Path) -> None:
    """Who corrects a file and replays would see the same error again, and not know why."""
    assert acme("run", "acme", "shop/load").code == 1
    run_id = acme("history", "acme", "--json").data["runs"][0]["run_id"]
    assert "has changed since" not in acme("replay", run_id).err
    file = configs / "shop/load.yml"
    file.write_text(file.read_text().replace('"{file}"', "openai/seed/subscription_plans.csv"))
    stale = acme("replay", run_id)
    assert (stale.code, f"convergence replay {run_id} --latest" in stale.err) == (1, True), stale.err
    latest = acme("replay", run_id, "--latest")
    assert (latest.code, "has changed since" in latest.err) == (0, False), latest.err


def test_an_integration_that_is_missing_gets_the_command(acme: Cli, configs: Path) -> None:
    (configs / "shop/slip.yml").write_text(
        'pipeline_id: "{org_slug}-shop-slip"\nprovider: shop\nintegration_required: openai\n'
        "steps: [{step_id: run_it, ps_type: generic.noop}]\n"
    )
    answer = acme("run", "acme", "shop/slip")
    assert answer.code == 2
    assert "openai integration not active" in answer.err
    assert "convergence integration setup ORG openai --secret-from-env NAME=VARIABLE" in answer.err
