"""`convergence webhooks test` and `deliveries`: what was sent, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import click

from convergence.domain.webhook_delivery import DeliveryStatus
from convergence.engine.webhooks.log import delivery_detail, delivery_view, find_deliveries, require_delivery
from convergence.engine.webhooks.send import send_test
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org


@click.command("test", cls=Command)
@click.argument("org")
@click.argument("webhook_id", metavar="WEBHOOK")
@click.pass_obj
def test(session: Session, org: str, webhook_id: str) -> int:
    """Send a `webhook.test` event to WEBHOOK of ORG now, once; exit 1 when it is not accepted.

    \b
    Example:
      convergence webhooks test acme whk_0f3a5c7e9b1d24680f3a
    """

    async def work() -> Mapping[str, Any]:
        async with session.writing(f"webhooks test {org}") as writer:
            await known_org(writer.services, org)
            return delivery_detail(await send_test(writer.services, org, webhook_id))

    server = session.server(writes=True)
    if server is None:
        found = session.go(work())
    else:
        found = server.ask("POST", f"/webhooks/{quoted(org)}/{quoted(webhook_id)}/test")
    if session.out.json:
        session.out.data(found)
    else:
        session.out.line(f"{found['delivery_id']}  {found['status']}  {_outcome(found)}")
    return 0 if found["status"] == DeliveryStatus.DELIVERED else 1


@click.command("deliveries", cls=Command)
@click.argument("org")
@click.argument("delivery_id", metavar="[DELIVERY]", required=False)
@click.option("--webhook", "webhook_id", metavar="WEBHOOK", help="Only to this webhook.")
@click.option("--status", type=click.Choice([each.value for each in DeliveryStatus]))
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--cursor", help="Where the previous page ended.")
@click.pass_obj
def deliveries(
    session: Session,
    org: str,
    delivery_id: str | None,
    webhook_id: str | None,
    status: str | None,
    limit: int,
    cursor: str | None,
) -> int:
    """List what was sent to webhooks of ORG, latest first; with DELIVERY, its attempts and its event.

    \b
    Example:
      convergence webhooks deliveries acme --status failed
    """
    if delivery_id is not None:
        return _show(session, org, delivery_id)

    async def work() -> Mapping[str, Any]:
        with session.reading() as services:
            await known_org(services, org)
            asked = None if status is None else DeliveryStatus(status)
            page = await find_deliveries(services, org, webhook_id=webhook_id, status=asked, limit=limit, cursor=cursor)
            return {"deliveries": [delivery_view(each) for each in page.deliveries], "cursor": page.cursor}

    server = session.server()
    query = {"webhook": webhook_id, "status": status, "limit": limit, "cursor": cursor}
    found = asyncio.run(work()) if server is None else server.get(f"/webhooks/{quoted(org)}/deliveries", query)
    if session.out.json:
        session.out.data(found)
        return 0
    names = ("delivery_id", "event_type", "created_at", "status", "attempts")
    rows = [(*(each[name] for name in names), _outcome(each)) for each in found["deliveries"]]
    session.out.table(("delivery", "event", "since (UTC)", "status", "attempts", "last"), rows)
    if found["cursor"]:
        session.out.note(f"more: --cursor {found['cursor']}")
    return 0


def _show(session: Session, org: str, delivery_id: str) -> int:
    async def work() -> Mapping[str, Any]:
        with session.reading() as services:
            await known_org(services, org)
            return delivery_detail(await require_delivery(services, org, delivery_id))

    server = session.server()
    path = f"/webhooks/{quoted(org)}/deliveries/{quoted(delivery_id)}"
    found = asyncio.run(work()) if server is None else server.get(path)
    if session.out.json:
        session.out.data(found)
        return 0
    for name in ("delivery_id", "webhook_id", "event_type", "event_id", "status", "created_at", "next_attempt_at"):
        if found[name]:
            session.out.line(f"{name:<16} {found[name]}")
    rows = [(each["at"][:19], each["duration_ms"], _words(each)) for each in found["log"]]
    session.out.table(("attempt (UTC)", "ms", ""), rows, right={1})
    return 0


def _outcome(found: Mapping[str, Any]) -> str:
    return "" if found["last"] is None else _words(found["last"])


def _words(attempt: Mapping[str, Any]) -> str:
    return attempt["error"] or f"accepted ({attempt['status_code']})"
