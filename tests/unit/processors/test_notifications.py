"""Mails to a real mail server, messages to a real webhook."""

from __future__ import annotations

import asyncio
import json
import re
from email import message_from_bytes
from typing import Any

import httpx
import pytest
from aiosmtpd.smtp import SMTP, Envelope

from convergence.adapters.http.transport import CheckedTransport
from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, Throttled, Transient
from convergence.processors.notify_systems import email_notification, slack_notification
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.step_world import ManualClock, Vault, WorldContext

# apprise imports a module that Python 3.13 drops, and asks for it in a way that warns before.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

MAIL = {
    "to_emails": "ann@example.org, bob@example.org",
    "subject": "run failed\r\nBcc: x@example.org",
    "message": "why",
}


class Mailbox:
    """Takes every mail, or refuses all."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.got: list[Envelope] = []
        self._refuses = refuses

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.got.append(envelope)
        return "451 busy" if self._refuses else "250 OK"


async def mailed(mailbox: Mailbox, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox, loop=loop), "127.0.0.1", 0)
    monkeypatch.setenv("SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("SMTP_PORT", str(server.sockets[0].getsockname()[1]))
    monkeypatch.setenv("SMTP_SECURITY", "none")
    monkeypatch.setenv("SMTP_FROM", "convergence@example.org")
    context = WorldContext(None, None, ManualClock())  # it calls a mail server only
    try:
        return dict(await email_notification.get_engine().execute({"config": config}, context))
    finally:
        server.close()
        await server.wait_closed()


def test_a_mail_reaches_all_recipients_and_its_subject_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = Mailbox()
    result = asyncio.run(mailed(mailbox, MAIL, monkeypatch))
    assert result == {"status": "SUCCESS", "recipients": 2}
    assert sorted(one for envelope in mailbox.got for one in envelope.rcpt_tos) == [
        "ann@example.org",
        "bob@example.org",
    ]
    content = mailbox.got[0].content
    assert isinstance(content, bytes)
    mail = message_from_bytes(content)
    assert mail["Subject"] == "run failed Bcc: x@example.org"
    assert "convergence@example.org" in mail["From"]
    assert "why" in str(mail.get_payload())


def test_a_mail_ends_with_a_link_to_the_page_of_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = Mailbox()
    monkeypatch.setenv("CONVERGENCE_PUBLIC_URL", "https://costs.example/")
    asyncio.run(mailed(mailbox, MAIL, monkeypatch))
    content = mailbox.got[0].content
    assert isinstance(content, bytes)
    text = " ".join(str(message_from_bytes(content).get_payload()).replace("=\n", "").split())
    assert re.search(r"https://costs\.example/ui/\w+/runs/[\w.-]+", text), text


@pytest.mark.parametrize("address", ["costs.example", "javascript:alert(1)", "https://a b", "https://a/\nBcc: x@y"])
def test_a_public_address_that_is_none_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERGENCE_PUBLIC_URL", address)
    with pytest.raises(StepFailed, match="CONVERGENCE_PUBLIC_URL is not an address"):
        asyncio.run(mailed(Mailbox(), MAIL, monkeypatch))


def test_without_recipients_the_administrator_gets_the_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = Mailbox()
    monkeypatch.setenv("DEFAULT_ADMIN_EMAIL", "admin@example.org")
    asyncio.run(mailed(mailbox, {"subject": "s", "to_emails": [""]}, monkeypatch))
    assert mailbox.got[0].rcpt_tos == ["admin@example.org"]


def test_a_mail_that_is_not_taken_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Transient):
        asyncio.run(mailed(Mailbox(refuses=True), MAIL, monkeypatch))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"to_emails": []}, "DEFAULT_ADMIN_EMAIL is not set"),
        ({"to_emails": ["nobody"]}, "not a mail address"),
        ({"to_emails": [f"a{n}@example.org" for n in range(51)]}, "51 recipients"),
    ],
)
def test_a_mail_without_recipients_is_refused(
    change: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEFAULT_ADMIN_EMAIL", raising=False)
    with pytest.raises(StepFailed, match=message):
        asyncio.run(mailed(Mailbox(), {**MAIL, **change}, monkeypatch))


def test_without_a_mail_server_the_step_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMTP_HOST", raising=False)
    with pytest.raises(StepFailed, match="set SMTP_HOST"):
        email_notification.server_url(("a@example.org",), ())


def test_a_password_does_not_travel_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_HOST", "mail.example.org")
    monkeypatch.setenv("SMTP_SECURITY", "none")
    with pytest.raises(StepFailed, match="use starttls or ssl"):
        email_notification.server_url(("a@example.org",), ())
    monkeypatch.setenv("SMTP_SECURITY", "starttls")
    monkeypatch.setenv("SMTP_USERNAME", "me@example.org")
    monkeypatch.setenv("SMTP_PASSWORD", "p@ss/word")
    url = email_notification.server_url(("a@example.org",), ())
    assert url.startswith("mailtos://me%40example.org:p%40ss%2Fword@mail.example.org:587/")


async def posted(response: Response, **config: Any) -> tuple[dict[str, Any], list[Request]]:
    requests: list[Request] = []

    def handler(request: Request) -> Response:
        requests.append(request)
        return response

    server = HttpServer(handler)
    url = await server.start() + "/services/s3cret"
    try:
        async with httpx.AsyncClient(transport=CheckedTransport()) as client:
            context = WorldContext(client, None, ManualClock(), secrets=Vault({"slack": url}))
            step = {"config": {"message": "why", "allow_private_addresses": True, **config}}
            return dict(await slack_notification.get_engine().execute(step, context)), requests
    finally:
        await server.stop()


def test_a_message_reaches_the_webhook() -> None:
    result, (request,) = asyncio.run(posted(Response(200, b"ok"), subject="run failed", channel="#data"))
    assert result["status"] == "SUCCESS"
    assert request.path == "/services/s3cret"
    assert json.loads(request.body) == {"text": "*run failed*\nwhy", "channel": "#data"}


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (Response(404), CredentialRejected),
        (Response(429, headers={"retry-after": "3"}), Throttled),
        (Response(503), Transient),
        (Response(302, headers={"location": "https://x.example"}), StepFailed),
    ],
)
def test_a_webhook_that_refuses_shows_no_secret(response: Response, kind: type[ConvergenceError]) -> None:
    with pytest.raises(kind) as caught:
        asyncio.run(posted(response))
    assert "s3cret" not in str(caught.value)


def test_a_webhook_on_a_private_address_or_without_https_is_refused() -> None:
    with pytest.raises(StepFailed, match="allow_private_addresses"):
        asyncio.run(posted(Response(200), allow_private_addresses=False))
    with pytest.raises(StepFailed, match="https") as caught:
        asyncio.run(posted(Response(200), webhook_url="http://hooks.example.org/s3cret"))
    assert "s3cret" not in str(caught.value)
