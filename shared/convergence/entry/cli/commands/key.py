"""`convergence key`: API keys of orgs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import click

from convergence.config.settings.environments import SHORT
from convergence.domain.times import to_text
from convergence.engine.services import Services
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org
from convergence.tenants.api_keys import SCOPES, ApiKey, ApiKeyStore


@click.group("key")
def command() -> None:
    """Create, list, rotate and revoke the API keys of an org."""


@command.command("create", cls=Command)
@click.argument("org")
@click.option("--name", default="", help="For people.")
@click.option("--scope", "scopes", multiple=True, default=SCOPES, show_default=True, help="Repeatable.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Days until it expires; never without it.")
@click.pass_obj
def create(session: Session, org: str, name: str, scopes: Sequence[str], days: float | None) -> int:
    """Create a key of ORG and print it; it cannot be shown again.

    \b
    Example:
      convergence key create acme --name ci --scope run --days 90
    """

    async def work() -> tuple[str, ApiKey]:
        async with session.writing(f"key create {org}") as writer:
            await known_org(writer.services, org)
            expires_in = None if days is None else timedelta(days=days)
            return await _keys(writer.services, session).create(org, name=name, scopes=scopes, expires_in=expires_in)

    server = session.server(writes=True)
    if server is not None:
        body = {"name": name, "scopes": list(scopes), "expires_in_days": days}
        made = server.ask("POST", f"/organizations/{quoted(org)}/keys", root=True, json=body)
        return _new(session, org, made.pop("api_key"), made)
    text, key = session.go(work())
    return _new(session, org, text, _data(key))


@command.command("list", cls=Command)
@click.argument("org")
@click.pass_obj
def list_(session: Session, org: str) -> int:
    """List the keys of ORG. Works while another process writes.

    \b
    Example:
      convergence key list acme
    """

    async def work() -> list[ApiKey]:
        with session.reading() as services:
            await known_org(services, org)
            return await ApiKeyStore(services.documents, services.clock).all(org)

    server = session.server()
    if server is None:
        keys = [_data(key) for key in asyncio.run(work())]
    else:
        keys = server.get(f"/organizations/{quoted(org)}/keys", root=True)["keys"]
    if session.out.json:
        session.out.data({"keys": keys})
    else:
        headers = ("key", "name", "scopes", "since", "expires", "revoked")
        session.out.table(headers, [tuple(_shown(value) for value in key.values()) for key in keys])
    return 0


@command.command("rotate", cls=Command)
@click.argument("org")
@click.argument("key_id")
@click.option("--overlap-hours", type=click.FloatRange(min=0), default=24, show_default=True)
@click.pass_obj
def rotate(session: Session, org: str, key_id: str, overlap_hours: float) -> int:
    """Create a key like KEY_ID, which stays valid for the overlap.

    \b
    Example:
      convergence key rotate acme key_0f3a5c7e9b1d2468 --overlap-hours 1
    """

    async def work() -> tuple[str, ApiKey]:
        async with session.writing(f"key rotate {org}") as writer:
            return await _keys(writer.services, session).rotate(org, key_id, overlap=timedelta(hours=overlap_hours))

    server = session.server(writes=True)
    if server is not None:
        path, body = f"/organizations/{quoted(org)}/keys/{quoted(key_id)}/rotate", {"overlap_hours": overlap_hours}
        made = server.ask("POST", path, root=True, json=body)
        return _new(session, org, made.pop("api_key"), made)
    text, key = session.go(work())
    return _new(session, org, text, _data(key))


@command.command("revoke", cls=Command)
@click.argument("org")
@click.argument("key_id")
@click.pass_obj
def revoke(session: Session, org: str, key_id: str) -> int:
    """End KEY_ID at once.

    \b
    Example:
      convergence key revoke acme key_0f3a5c7e9b1d2468
    """

    async def work() -> None:
        async with session.writing(f"key revoke {org}") as writer:
            await _keys(writer.services, session).revoke(org, key_id)

    server = session.server(writes=True)
    if server is None:
        session.go(work())
    else:
        server.ask("DELETE", f"/organizations/{quoted(org)}/keys/{quoted(key_id)}", root=True)
    if session.out.json:
        session.out.data({"key_id": key_id, "revoked": True})
    else:
        session.out.line(f"revoked {key_id}")
    return 0


def _keys(services: Services, session: Session) -> ApiKeyStore:
    production = session.env == SHORT["production"]
    return ApiKeyStore(services.documents, services.clock, keyring=None if production else services.keyring)


def _new(session: Session, org: str, text: str, key: dict[str, Any]) -> int:
    if session.out.json:
        session.out.data({**key, "api_key": text})
    else:
        session.out.note(f"{key['key_id']} of {org}; keep it now, it cannot be shown again:")
        session.out.line(text)
    return 0


def _data(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": to_text(key.created_at),
        "expires_at": None if key.expires_at is None else to_text(key.expires_at),
        "revoked_at": None if key.revoked_at is None else to_text(key.revoked_at),
    }


def _shown(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value or "")
