"""Work on all orgs of a server: the command asks for some at a time, until the server says that none is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from convergence.entry.cli.server import Server
from tests.unit.entry.conftest import Cli

PAGES: dict[str, list[dict[str, Any]]] = {
    "schemas sync": [
        {"dry_run": False, "added": {"organizations.log": ["a"]}, "failed": {}, "orgs": 2, "cursor": "one"},
        {"dry_run": False, "added": {"b_prod.t": ["c"]}, "failed": {"c_prod.t": "a type"}, "orgs": 2, "cursor": "two"},
        {"dry_run": False, "added": {}, "failed": {}, "orgs": 1, "cursor": None},
    ],
    "migrate": [
        {"dry_run": False, "migrated": {"a_prod": ["001"], "b_prod": []}, "cursor": "one"},
        {"dry_run": False, "migrated": {"c_prod": [], "d_prod": []}, "cursor": "two"},
        {"dry_run": False, "migrated": {"e_prod": ["001"]}, "cursor": None},
    ],
}


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[dict[str, Any]]], list[str]]:
    """Let every server give these answers, one after the other; return the cursors that it is asked for."""
    monkeypatch.setenv("CONVERGENCE_ROOT_KEY", "root")

    def answering(answers: list[dict[str, Any]]) -> list[str]:
        asked: list[str] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request.url.params.get("cursor", ""))
            return httpx.Response(200, json=answers[len(asked) - 1])

        client = httpx.Client(transport=httpx.MockTransport(answer))
        monkeypatch.setattr(Server, "_http", lambda _: client)
        return asked

    return answering


@pytest.mark.parametrize("command", PAGES)
def test_a_command_goes_on_until_no_org_is_left(
    cli: Cli, at: Callable[[list[dict[str, Any]]], list[str]], command: str
) -> None:
    asked = at(PAGES[command])
    done = cli(*command.split(), "--url", "http://127.0.0.1:1", "--json")
    assert asked == ["", "one", "two"]
    assert "2 orgs are done, others follow\n4 orgs are done, others follow" in done.err
    if command == "migrate":
        assert done.data["migrated"] == {"a_prod": ["001"], "b_prod": [], "c_prod": [], "d_prod": [], "e_prod": ["001"]}
    else:
        assert done.data["added"] == {"organizations.log": ["a"], "b_prod.t": ["c"]}
        assert (done.code, done.data["failed"]) == (1, {"c_prod.t": "a type"})


def test_a_server_of_an_earlier_release_does_all_orgs_at_once(
    cli: Cli, at: Callable[[list[dict[str, Any]]], list[str]]
) -> None:
    asked = at([{"dry_run": False, "migrated": {"a_prod": ["001"]}}])
    assert cli("migrate", "--url", "http://127.0.0.1:1").out == "a_prod  001\n"
    assert asked == [""]
