"""Runs that end without a handler of their own: who hears of it, through the engine, over real SMTP and HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope

from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.domain.run import Run
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.engine.store import read_all_steps
from convergence.sandbox.http import HttpServer, Request, Response
from tests.bench import engine
from tests.unit.processors.step_world import CONFIGS

# apprise imports a module that Python 3.13 drops, and asks for it in a way that warns before.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

FAILING = """
pipeline_id: "{org_slug}-acme-usage-sums"
steps:
  - {step_id: run_wrong, ps_type: generic.bq_execute, config: {query: "SELECT ERROR('nothing')"}}
"""
OWN = """  - {step_id: notify_us, ps_type: generic.noop, trigger: on_failure}
"""


class Hearers:
    """A mail server and a webhook; each may refuse."""

    def __init__(self, *, refuse: bool = False) -> None:
        self.mails: list[Envelope] = []
        self.texts: list[str] = []
        self._refuse = refuse

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope)
        return "550 no" if self._refuse else "250 OK"

    def hook(self, request: Request) -> Response:
        self.texts.append(json.loads(request.body)["text"])
        return Response(404 if self._refuse else 200)


async def failed(
    folder: Path,
    hearers: Hearers,
    monkeypatch: pytest.MonkeyPatch,
    *,
    profile: Mapping[str, str],
    text: str = FAILING,
    mail_server: str = "127.0.0.1",
    shared: Mapping[str, Any] | None = None,
    own: Mapping[str, Any] | None = None,
    runs: int = 1,
) -> tuple[Run, dict[str, str]]:
    """Let a pipeline fail under the shipped settings; return the run and the handlers' status."""
    root = engine.configs(folder)
    (root / "acme" / "usage").mkdir(parents=True)
    (root / "acme" / "usage" / "sums.yml").write_text(text)
    settings = json.loads((CONFIGS / "notifications" / "config.json").read_text())
    settings["slack"] = {"allow_private_addresses": True}
    (root / "notifications").mkdir()
    (root / "notifications" / "config.json").write_text(json.dumps({**settings, **(shared or {})}))
    if own is not None:
        (root / "notifications" / "org0.json").write_text(json.dumps(own))
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(lambda: SMTP(hearers, loop=loop), "127.0.0.1", 0)
    web = HttpServer(hearers.hook)
    url = await web.start()
    port = str(smtp.sockets[0].getsockname()[1])
    for name, value in {"HOST": mail_server, "PORT": port, "SECURITY": "none"}.items():
        monkeypatch.setenv(f"SMTP_{name}", value)
    monkeypatch.setenv("DEFAULT_ADMIN_EMAIL", "admin@example.org")
    try:
        async with embedded(EmbeddedOptions(data_dir=folder / "data", configs_dir=root), "test") as opened:
            await engine.found(opened)
            services = opened.services
            await services.orgs.change("org0", lambda org: replace(org, profile=profile), token="t")
            await services.credentials.store("org0", "slack", f"{url}/s3cret", name="default")
            await opened.worker.start()
            for _ in range(runs):
                run = await dispatch(services, RunRequest(org="org0", pipeline="acme/usage/sums"))
                ended = await opened.worker.wait("org0", run.run_id)
            steps = await read_all_steps(services, ended)
            return ended, {name: stored.step.status.value for name, stored in steps.items() if "notify" in name}
    finally:
        smtp.close()
        await smtp.wait_closed()
        await web.stop()


def test_a_failure_without_an_end_step_is_reported_by_mail_and_slack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hearers = Hearers()
    run, _ = asyncio.run(failed(tmp_path, hearers, monkeypatch, profile={}))
    assert run.status == "failed"
    (envelope,) = hearers.mails
    assert envelope.rcpt_tos == ["admin@example.org"]
    assert isinstance(envelope.content, bytes)
    mail = message_from_bytes(envelope.content)
    assert mail["Subject"] == "org0-acme-usage-sums failed"
    (text,) = hearers.texts
    assert run.run_id in text
    assert "nothing" in text  # the error


def test_an_org_chooses_channel_and_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hearers = Hearers()
    profile = {"notify_channels": "email", "notify_emails": "ann@example.org, bob@example.org"}
    asyncio.run(failed(tmp_path, hearers, monkeypatch, profile=profile))
    assert sorted(one for mail in hearers.mails for one in mail.rcpt_tos) == ["ann@example.org", "bob@example.org"]
    assert hearers.texts == []


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        ({"notify_channels": "none"}, FAILING),
        ({}, FAILING + OWN),
    ],
)
def test_an_org_that_wants_none_and_a_pipeline_with_its_own_end_step_get_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: dict[str, str], text: str
) -> None:
    hearers = Hearers()
    asyncio.run(failed(tmp_path, hearers, monkeypatch, profile=profile, text=text))
    assert (hearers.mails, hearers.texts) == ([], [])


def test_a_pipeline_names_its_own_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hearers = Hearers()
    text = "notifications: {on_failure: [slack]}" + FAILING
    asyncio.run(failed(tmp_path, hearers, monkeypatch, profile={"notify_channels": "email"}, text=text))
    assert hearers.mails == []
    assert len(hearers.texts) == 1


def test_a_notification_that_fails_leaves_the_run_as_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, steps = asyncio.run(failed(tmp_path, Hearers(refuse=True), monkeypatch, profile={"notify_channels": "slack"}))
    assert run.status == "failed"
    assert run.error is not None
    assert run.error["step_id"] == "run_wrong"
    assert list(steps.values()) == ["failed"]


def test_without_a_mail_server_or_webhook_a_default_notification_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hearers = Hearers()
    profile = {"notify_channels": "email"}
    _, steps = asyncio.run(failed(tmp_path, hearers, monkeypatch, profile=profile, mail_server=""))
    assert list(steps.values()) == ["skipped"]


def test_a_settings_file_that_broke_stops_no_run(tmp_path: Path) -> None:
    from convergence.config.files.notifications import NotificationsFile

    (tmp_path / "notifications").mkdir()
    file = NotificationsFile(tmp_path)
    assert file.settings() == {}
    for text in ("{", "[]", '{"event_triggers": 3}'):
        (tmp_path / "notifications" / "config.json").write_text(text)
        assert file.settings() == {}


def events(**cooldown: int) -> dict[str, Any]:
    return {"event_triggers": [{"event": "pipeline_failure", "providers": ["email"], **cooldown}]}


def test_an_org_has_a_file_of_its_own_with_sender_prefix_and_retries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hearers = Hearers()
    own = {
        **events(),
        "email": {"to_emails": ["ann@example.org"], "from_name": "Cost Desk"},
        "subject_prefix": "[PROD {x}]",
        "retry_config": {"max_retries": 4, "initial_delay_seconds": 2},
    }
    asyncio.run(failed(tmp_path, hearers, monkeypatch, profile={}, own=own))
    (envelope,) = hearers.mails
    assert envelope.rcpt_tos == ["ann@example.org"]
    assert isinstance(envelope.content, bytes)
    mail = message_from_bytes(envelope.content)
    assert mail["Subject"] == "[PROD {x}] org0-acme-usage-sums failed"
    assert "Cost Desk" in mail["From"]
    assert hearers.texts == []


def test_within_the_cooldown_the_next_failure_is_not_mailed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hearers = Hearers()
    shared = events(cooldown_seconds=600)
    _, steps = asyncio.run(failed(tmp_path, hearers, monkeypatch, profile={}, shared=shared, runs=2))
    assert (len(hearers.mails), list(steps.values())) == (1, ["skipped"])


CHECKED = """
pipeline_id: "{org_slug}-acme-usage-sums"
steps:
  - step_id: check_it
    ps_type: generic.dq_check
    config: {table: org_cost_tracking, checks: [{type: row_count, min: 5}]}
"""


@pytest.mark.parametrize(
    ("event", "text", "mails"),
    [
        ("data_quality_failure", CHECKED, 1),
        ("data_quality_failure", FAILING, 0),
        ("system_error", FAILING, 0),
    ],
)
def test_an_event_may_stand_for_some_failures_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: str, text: str, mails: int
) -> None:
    hearers = Hearers()
    shared = {"event_triggers": [{"event": event, "providers": ["email"]}]}
    asyncio.run(failed(tmp_path, hearers, monkeypatch, profile={}, shared=shared, text=text))
    assert len(hearers.mails) == mails


RECIPIENTS = (
    FAILING
    + """  - step_id: tell
    ps_type: notify_systems.email_notification
    trigger: on_failure
    config: {to_emails: ["{admin_email}", "ops@example.org"], subject: s}
"""
)


def test_a_recipient_without_a_value_does_not_keep_the_mail_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hearers = Hearers()
    asyncio.run(failed(tmp_path, hearers, monkeypatch, profile={}, text=RECIPIENTS))
    assert [mail.rcpt_tos for mail in hearers.mails] == [["ops@example.org"]]
    hearers.mails.clear()
    asyncio.run(failed(tmp_path / "b", hearers, monkeypatch, profile={"admin_email": "a@example.org"}, text=RECIPIENTS))
    assert sorted(one for mail in hearers.mails for one in mail.rcpt_tos) == ["a@example.org", "ops@example.org"]
