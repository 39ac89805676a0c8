"""`convergence webhooks`, on a data directory and through a server's API."""

from __future__ import annotations

import socket

from tests.unit.entry.conftest import Cli

URL = "https://hooks.example.com/convergence"


def test_webhooks_are_created_listed_changed_and_deleted(acme: Cli) -> None:
    assert "acme has no webhook" in acme("webhooks", "list", "acme").out
    made = acme("--json", "webhooks", "create", "acme", URL, "--event", "run.failed", "--pipelines", "openai/*").data
    name = made["webhook_id"]
    assert made["secret"].startswith("whsec_")
    (listed,) = acme("--json", "webhooks", "list", "acme").data["webhooks"]
    assert listed == {key: value for key, value in made.items() if key != "secret"}
    assert name in acme("webhooks", "list", "acme").out
    changed = acme("--json", "webhooks", "update", "acme", name, "--disable").data
    assert (changed["enabled"], changed["events"], changed["pipelines"]) == (False, ["run.failed"], "openai/*")
    rotated = acme("webhooks", "rotate", "acme", name, "--overlap-hours", "2")
    assert (rotated.code, rotated.out.splitlines()[-1].startswith("whsec_")) == (0, True)
    assert made["secret"] not in rotated.out
    shown = acme("webhooks", "show", "acme", name)
    assert (shown.out.count("whs_"), "signs until" in shown.out) == (2, True)
    assert "whsec_" not in shown.out
    assert acme("webhooks", "delete", "acme", name).out == f"deleted {name}\n"
    assert acme("webhooks", "show", "acme", name).code == 2


def test_a_test_event_that_nobody_takes_is_in_the_log(acme: Cli) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    name = acme("--json", "webhooks", "create", "acme", url).data["webhook_id"]
    tried = acme("webhooks", "test", "acme", name)
    assert (tried.code, "failed" in tried.out, "cannot be reached (ConnectError)" in tried.out) == (1, True, True)
    listed = acme("webhooks", "deliveries", "acme", "--status", "failed", "--webhook", name)
    assert "webhook.test" in listed.out
    (found,) = acme("--json", "webhooks", "deliveries", "acme").data["deliveries"]
    shown = acme("--json", "webhooks", "deliveries", "acme", found["delivery_id"]).data
    assert (shown["event"]["type"], len(shown["log"])) == ("webhook.test", 1)
    assert "cannot be reached" in acme("webhooks", "deliveries", "acme", found["delivery_id"]).out
    assert acme("webhooks", "deliveries", "acme", "whd_0").code == 2
    assert not acme("--json", "webhooks", "deliveries", "acme", "--status", "delivered").data["deliveries"]


def test_what_cannot_be_is_refused_with_the_reason(acme: Cli) -> None:
    refused = acme("webhooks", "create", "acme", "https://192.168.0.1/")
    assert (refused.code, "private address" in refused.err) == (2, True)
    assert acme("webhooks", "create", "acme", URL, "--event", "run.gone").code == 2
    nothing = acme("webhooks", "update", "acme", "whk_0")
    assert (nothing.code, "nothing to change" in nothing.err) == (2, True)
    unknown = acme("webhooks", "list", "acmee")
    assert (unknown.code, "Did you mean 'acme'?" in unknown.err) == (2, True)
