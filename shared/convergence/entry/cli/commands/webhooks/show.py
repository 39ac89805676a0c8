"""`convergence webhooks list` and `show`."""

from __future__ import annotations

import asyncio

import click

from convergence.engine.webhooks.change import require_webhook, webhooks_of
from convergence.engine.webhooks.views import WebhookView, webhook_view
from convergence.entry.cli.commands.webhooks.view import print_webhook
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org


@click.command("list", cls=Command)
@click.argument("org")
@click.pass_obj
def list_(session: Session, org: str) -> int:
    """List the webhooks of ORG. Works while another process writes.

    \b
    Example:
      convergence webhooks list acme
    """

    async def work() -> list[WebhookView]:
        with session.reading() as services:
            await known_org(services, org)
            return [webhook_view(each, whole=True) for each in await webhooks_of(services, org)]

    server = session.server()
    views = asyncio.run(work()) if server is None else server.get(f"/webhooks/{quoted(org)}")["webhooks"]
    if session.out.json:
        session.out.data({"webhooks": views})
    elif not views:
        look = session.command("webhooks", "create", org, "https://hooks.example.com/convergence")
        session.out.line(f"{org} has no webhook. Create one with: {look}")
    else:
        rows = [
            (each["webhook_id"], each["enabled"], ", ".join(each["events"]), each["pipelines"], each["url"])
            for each in views
        ]
        session.out.table(("webhook", "enabled", "events", "pipelines", "address"), rows)
    return 0


@click.command("show", cls=Command)
@click.argument("org")
@click.argument("webhook_id", metavar="WEBHOOK")
@click.pass_obj
def show(session: Session, org: str, webhook_id: str) -> int:
    """Show WEBHOOK of ORG, without its secrets. Works while another process writes.

    \b
    Example:
      convergence webhooks show acme whk_0f3a5c7e9b1d24680f3a
    """

    async def work() -> WebhookView:
        with session.reading() as services:
            await known_org(services, org)
            return webhook_view(await require_webhook(services, org, webhook_id), whole=True)

    server = session.server()
    path = f"/webhooks/{quoted(org)}/{quoted(webhook_id)}"
    print_webhook(session, asyncio.run(work()) if server is None else server.get(path))
    return 0
