"""A schedule is called by its id, its pipeline, its name, or both."""

from __future__ import annotations

from typing import Any, cast

import pytest

from convergence.entry.cli.commands.schedule.names import remote_id
from convergence.entry.cli.server import Server
from convergence.errors import InvalidInput, NotFound
from tests.unit.entry.conftest import Cli

SET = ("schedule", "set", "acme", "example/hello", "--cron", "0 5 * * *", "--name")


def test_each_command_takes_pipeline_and_name(acme: Cli) -> None:
    assert acme(*SET, "often").code == 0
    schedule_id = acme("schedule", "show", "acme", "often", "--json").data["schedule_id"]
    for words in ("example/hello", "often", "example/hello:often", schedule_id):
        assert acme("schedule", "show", "acme", words, "--json").data["schedule_id"] == schedule_id
        assert len(acme("schedule", "next", "acme", words, "--count", "2", "--json").data["firings"]) == 2
    assert (
        acme("schedule", "set", "acme", "often", "--cron", "0 6 * * *", "--json").data["cron_expression"] == "0 6 * * *"
    )
    assert acme("schedule", "pause", "acme", "example/hello", "--json").data["state"] == "paused"
    assert acme("schedule", "resume", "acme", "example/hello:often", "--json").data["state"] == "enabled"
    assert acme("schedule", "trigger", "acme", "often").code == 0
    assert acme("schedule", "delete", "acme", "often").code == 0
    gone = acme("schedule", "next", "acme", "often")
    assert (gone.code, "acme has no schedule 'often'." in gone.err) == (2, True)


def test_two_schedules_of_a_pipeline_are_both_named(acme: Cli) -> None:
    assert (acme(*SET, "often").code, acme(*SET, "seldom").code) == (0, 0)
    answer = acme("schedule", "next", "acme", "example/hello")
    assert answer.code == 2
    assert "'example/hello' could be example/hello:often (sch_" in answer.err
    assert "example/hello:seldom (sch_" in answer.err
    slip = acme("schedule", "next", "acme", "oftn")
    assert "acme has no schedule 'oftn'. Did you mean 'often'?" in slip.err


class Listing:
    """A server with two schedules."""

    def get(self, path: str) -> dict[str, Any]:
        """Answer the list of an org's schedules."""
        assert path == "/scheduler/schedules/acme"
        names = ("default", "weekly")
        return {"schedules": [{"schedule_id": f"sch_{name}", "pipeline": "a/b", "name": name} for name in names]}


def test_schedules_of_a_server_too() -> None:
    server = cast("Server", Listing())
    assert remote_id(server, "acme", "weekly") == "sch_weekly"
    assert remote_id(server, "acme", "a/b:default") == "sch_default"
    with pytest.raises(InvalidInput, match="could be"):
        remote_id(server, "acme", "a/b")
    with pytest.raises(NotFound, match="Did you mean 'weekly'"):
        remote_id(server, "acme", "weekli")
