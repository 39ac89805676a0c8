"""`convergence webhooks create`, `update`, `rotate` and `delete`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import click

from convergence.domain.webhook import EVENTS
from convergence.engine.services import Services
from convergence.engine.webhooks.change import (
    WebhookChange,
    create_webhook,
    delete_webhook,
    rotate_secret,
    update_webhook,
)
from convergence.engine.webhooks.views import new_webhook_view, webhook_view
from convergence.entry.cli.commands.webhooks.view import print_webhook
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org
from convergence.errors import InvalidInput

F = TypeVar("F", bound=Callable[..., Any])


def _options(command: F) -> F:
    for decorate in (
        click.option("--description", help="For people."),
        click.option("--pipelines", metavar="PATTERN", help="Only of these pipelines, such as 'openai/*'."),
        click.option("--event", "events", multiple=True, type=click.Choice(EVENTS), help="Repeatable; by default all."),
    ):
        command = decorate(command)
    return command


@click.command("create", cls=Command)
@click.argument("org")
@click.argument("target", metavar="URL")
@_options
@click.pass_obj
def create(session: Session, /, org: str, target: str, **given: Any) -> int:
    """Send the events of ORG to URL, an https address; print the secret that its requests are signed with.

    \b
    Example:
      convergence webhooks create acme https://hooks.example.com/convergence --event run.failed
    """
    body = _body(given) | {"url": target}
    server = session.server(writes=True)
    if server is not None:
        print_webhook(session, server.ask("POST", f"/webhooks/{quoted(org)}", json=body))
        return 0

    async def act(services: Services) -> Mapping[str, Any]:
        return new_webhook_view(*await create_webhook(services, org, WebhookChange(**body)))

    return _local(session, org, act)


@click.command("update", cls=Command)
@click.argument("org")
@click.argument("webhook_id", metavar="WEBHOOK")
@click.option("--to", metavar="URL", help="Another address.")
@_options
@click.option("--enable/--disable", "enabled", default=None, help="Switch it on or off.")
@click.pass_obj
def update(session: Session, /, org: str, webhook_id: str, **given: Any) -> int:
    """Change WEBHOOK of ORG; what is not named stays.

    \b
    Example:
      convergence webhooks update acme whk_0f3a5c7e9b1d24680f3a --event run.failed --pipelines "openai/*"
      convergence webhooks update acme whk_0f3a5c7e9b1d24680f3a --disable
    """
    body = _body(given)
    if not body:
        raise InvalidInput("nothing to change: name an option, see --help")
    server = session.server(writes=True)
    if server is not None:
        print_webhook(session, server.ask("PATCH", f"/webhooks/{quoted(org)}/{quoted(webhook_id)}", json=body))
        return 0

    async def act(services: Services) -> Mapping[str, Any]:
        return webhook_view(await update_webhook(services, org, webhook_id, WebhookChange(**body)), whole=True)

    return _local(session, org, act)


@click.command("rotate", cls=Command)
@click.argument("org")
@click.argument("webhook_id", metavar="WEBHOOK")
@click.option("--overlap-hours", type=click.FloatRange(min=0), default=24, show_default=True)
@click.pass_obj
def rotate(session: Session, org: str, webhook_id: str, overlap_hours: float) -> int:
    """Print a new secret of WEBHOOK; requests are signed with the former one too for the overlap.

    \b
    Example:
      convergence webhooks rotate acme whk_0f3a5c7e9b1d24680f3a --overlap-hours 48
    """
    server = session.server(writes=True)
    if server is not None:
        path = f"/webhooks/{quoted(org)}/{quoted(webhook_id)}/rotate"
        print_webhook(session, server.ask("POST", path, json={"overlap_hours": overlap_hours}))
        return 0

    async def act(services: Services) -> Mapping[str, Any]:
        overlap = timedelta(hours=overlap_hours)
        return new_webhook_view(*await rotate_secret(services, org, webhook_id, overlap=overlap))

    return _local(session, org, act)


@click.command("delete", cls=Command)
@click.argument("org")
@click.argument("webhook_id", metavar="WEBHOOK")
@click.pass_obj
def delete(session: Session, org: str, webhook_id: str) -> int:
    """Remove WEBHOOK of ORG; events that are not delivered yet never will be.

    \b
    Example:
      convergence webhooks delete acme whk_0f3a5c7e9b1d24680f3a
    """

    async def work() -> None:
        async with session.writing(f"webhooks delete {org}") as writer:
            await known_org(writer.services, org)
            await delete_webhook(writer.services, org, webhook_id)

    server = session.server(writes=True)
    if server is None:
        session.go(work())
    else:
        server.ask("DELETE", f"/webhooks/{quoted(org)}/{quoted(webhook_id)}")
    if session.out.json:
        session.out.data({"webhook_id": webhook_id, "deleted": True})
    else:
        session.out.line(f"deleted {webhook_id}")
    return 0


def _body(given: Mapping[str, Any]) -> dict[str, Any]:
    events: Sequence[str] = given["events"]
    body = {"url": given.get("to"), "events": list(events) or None, "enabled": given.get("enabled")}
    body |= {name: given[name] for name in ("pipelines", "description")}
    return {name: value for name, value in body.items() if value is not None}


def _local(session: Session, org: str, act: Callable[[Services], Awaitable[Mapping[str, Any]]]) -> int:
    async def work() -> Mapping[str, Any]:
        async with session.writing(f"webhooks {org}") as writer:
            await known_org(writer.services, org)
            return await act(writer.services)

    print_webhook(session, session.go(work()))
    return 0
