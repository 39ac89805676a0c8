"""A data directory with the demo's runs and some that fail, served by a process of its own."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

import httpx
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from tests.e2e.conftest import ROOT, Installation
from tests.e2e.serving import OPERATOR, ROOT_KEY, serving

HOSTILE = "<img src=x onerror=alert(1)>\"'> \u202e مرحبا " + "x" * 3_000
PIPELINES = {
    "shop/plans": """
name: Seats and plans of the shop
provider: shop
schedule: {cron: "30 2 * * *", timezone: Europe/Berlin}
parameters:
  file: {type: string, default: openai/seed/missing.csv, description: "Below the configs folder."}
steps:
  - {step_id: look, ps_type: generic.noop}
  - step_id: load_plans
    ps_type: openai.seed_csv
    depends_on: [look]
    source: {file: "{file}"}
    destination: {table: openai_subscription_plans}
  - {step_id: tell, ps_type: generic.noop, depends_on: [load_plans]}
""",
    "shop/away": """
name: A service that does not answer
provider: shop
steps:
  - step_id: extract_items
    ps_type: generic.api_extractor
    retry: {max_attempts: 5, backoff_seconds: 600}
    config: {url: "http://127.0.0.1:9/items", allow_private_addresses: true}
    destination: {table: shop_items, schema: {mode: raw}}
""",
    "shop/daily": """
name: Daily usage of the shop
provider: shop
parameters:
  note: {type: string, default: none}
steps:
  - {step_id: look, ps_type: generic.noop, config: {said: "{note}"}}
  - {step_id: look_again, ps_type: generic.noop, depends_on: [look]}
""",
}
FIXED = "openai/seed/subscription_plans.csv"


PUBLIC_URL = "https://costs.example"
PERIOD = "month=2026-10&issuer=OpenAI&account=org-sandbox"


@dataclass(frozen=True)
class Site:
    """Where the pages are, and what is on them. `mailed`: the path of the link in the mail about `failed`."""

    url: str
    root_key: str
    key: str
    failed: str
    mailed: str
    hostile: str
    costs: str


class Mailbox:
    """Keeps the mails that the server sends."""

    def __init__(self) -> None:
        self.got: Queue[bytes] = Queue()

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        assert isinstance(envelope.content, bytes)
        self.got.put(envelope.content)
        return "250 OK"

    def link(self) -> str:
        """Return the link in the next mail, without its host."""
        mail = message_from_bytes(self.got.get(timeout=60))
        parts = [part.get_payload(decode=True) for part in mail.walk() if part.get_content_type() == "text/plain"]
        (text,) = [part.decode() for part in parts if isinstance(part, bytes)]
        found = re.search(rf"{re.escape(PUBLIC_URL)}\S+", text)
        assert found is not None, text
        return urlsplit(found[0])._replace(scheme="", netloc="").geturl()


@contextmanager
def mailbox() -> Iterator[tuple[Mailbox, dict[str, str]]]:
    """A mail server on loopback, and the settings that send mail to it."""
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield (
            box,
            {
                "SMTP_HOST": "127.0.0.1",
                "SMTP_PORT": str(port),
                "SMTP_SECURITY": "none",
                "SMTP_FROM": "convergence@example.org",
                "DEFAULT_ADMIN_EMAIL": "ops@example.org",
                "CONVERGENCE_PUBLIC_URL": PUBLIC_URL,
            },
        )
    finally:
        controller.stop()


@contextmanager
def site_in(folder: Path) -> Iterator[Site]:
    """Serve a new data directory below `folder`."""
    configs = shutil.copytree(ROOT / "configs", folder / "configs")
    for name, text in PIPELINES.items():
        file = configs / f"{name}.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('pipeline_id: "{org_slug}-' + name.replace("/", "-") + '"\n' + text.lstrip())
    installation = Installation(folder / "data", configs)
    installation.call("demo", "--start", "2026-10-10", "--end", "2026-10-12")
    with mailbox() as (mails, sending), serving(installation, RATE_LIMIT_ENABLED="false", **sending) as (_, address):
        with httpx.Client(base_url=address, headers=OPERATOR, timeout=60) as api:

            def run(path: str, **parameters: Any) -> str:
                answer = api.post(f"/pipelines/run/demo/{path}", params={"wait": 60}, json=parameters)
                assert answer.status_code == 200, answer.text
                return str(answer.json()["run_id"])

            key = api.post("/organizations/demo/keys", json={"name": "ops-laptop"}).json()["api_key"]
            for _ in range(3):
                run("shop/daily")
            # The demo's org schedules nothing by itself; this one is its own.
            nightly = {"pipeline": "shop/daily", "name": "nightly", "cron_expression": "30 2 * * *"}
            added = api.post("/scheduler/schedules/demo", json={**nightly, "timezone": "Europe/Berlin"})
            assert added.status_code == 201, added.text
            hostile = run("shop/daily", note=HOSTILE)
            failed = run("shop/plans")
            mailed = mails.link()
            for _ in range(3):
                run("shop/plans")
            founded = api.post("/organizations/onboard", json={"slug": "initech", "name": "Initech"})
            assert founded.status_code == 201, founded.text
            costs = api.get("/pipelines/history/demo", params={"provider": "openai", "limit": 1}).json()["runs"][0][
                "run_id"
            ]
        yield Site(address.removesuffix("/api/v1"), ROOT_KEY, key, failed, mailed, hostile, str(costs))
