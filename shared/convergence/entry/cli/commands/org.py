"""`convergence org`: the tenants of this installation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import click

from convergence.config.files.retention import check_profile
from convergence.domain.quota import Limits
from convergence.engine.services import Services
from convergence.engine.store import read_usage, usage_path
from convergence.entry.cli.options import Command
from convergence.entry.cli.parameters import read_pairs
from convergence.entry.cli.server import Server, quoted
from convergence.entry.cli.session import Session, known_org
from convergence.errors import Conflict, InvalidInput
from convergence.tenants.orgs import Org

_count = click.IntRange(min=1)


@click.group("org")
def command() -> None:
    """Create, list and show orgs."""


@command.command("create", cls=Command)
@click.argument("slug")
@click.option("--name", default="", help="Display name; by default the slug.")
@click.option("--daily", type=_count, default=100, show_default=True, help="Runs per day (UTC).")
@click.option("--monthly", type=_count, default=3000, show_default=True, help="Runs per month (UTC).")
@click.option("--concurrent", type=_count, default=20, show_default=True, help="Concurrent runs.")
@click.option("--profile", multiple=True, metavar="NAME=VALUE", help="A value for templates, such as admin_email.")
@click.pass_obj
def create(
    session: Session, slug: str, name: str, daily: int, monthly: int, concurrent: int, profile: Sequence[str]
) -> int:
    """Create the org SLUG: 3 to 50 lower-case letters, digits and _, starting with a letter.

    \b
    Example:
      convergence org create acme --name "Acme Inc." --profile admin_email=ops@acme.example
    """
    limits = Limits(daily=daily, monthly=monthly, concurrent=concurrent)
    pairs = read_pairs("--profile", profile)
    server = session.server(writes=True)
    if server is None:
        org = session.go(_create(session, slug, name, limits, pairs)).to_data()
    else:
        org = _onboard(server, slug, name, limits, pairs)
    if session.out.json:
        session.out.data(org)
    else:
        if "api_key" in org:
            session.out.note("the org's first key; keep it now, it cannot be shown again:")
            session.out.line(org["api_key"])
        session.out.line(f"created {slug}; run a pipeline with: {session.command('run', slug, 'PIPELINE')}")
    return 0


@command.command("list", cls=Command)
@click.pass_obj
def list_(session: Session) -> int:
    """List all orgs. Works while another process writes.

    \b
    Example:
      convergence org list
    """
    server = session.server()
    orgs = asyncio.run(_list(session)) if server is None else server.get("/organizations", root=True)["organizations"]
    if session.out.json:
        session.out.data({"orgs": orgs})
    elif orgs:
        rows = [(org["slug"], org["status"], org["name"], org["created_at"][:10]) for org in orgs]
        session.out.table(("org", "status", "name", "since"), rows)
    else:
        session.out.line(f"There are no orgs yet; create one with: {session.command('org', 'create', 'SLUG')}")
    return 0


@command.command("show", cls=Command)
@click.argument("slug")
@click.pass_obj
def show(session: Session, slug: str) -> int:
    """Show the org SLUG: limits, what is used of them, profile, credentials. Works while another process writes.

    \b
    Example:
      convergence org show acme
    """
    server = session.server()
    org = asyncio.run(_show(session, slug)) if server is None else _ask(server, slug)
    if session.out.json:
        session.out.data(org)
        return 0
    session.out.line(f"{org['slug']}  {org['status']}  {org['name']}")
    for name, used in org["usage"].items():
        session.out.line(f"  {name:<11} {used} of {org['limits'][name]}")
    for name, value in org["profile"].items():
        session.out.line(f"  {name} = {value}")
    for credential in org["credentials"]:
        default = ", default" if credential["default"] else ""
        session.out.line(
            f"  credential {credential['credential_id']}  {credential['provider']}  {credential['status']}{default}"
        )
    return 0


async def _create(session: Session, slug: str, name: str, limits: Limits, profile: dict[str, str]) -> Org:
    async with session.writing(f"org create {slug}") as writer:
        try:
            return await create_org(writer.services, slug, name, limits, profile)
        except Conflict as error:
            raise InvalidInput(str(error)) from error


def _onboard(server: Server, slug: str, name: str, limits: Limits, profile: dict[str, str]) -> dict[str, Any]:
    """A server also gives a new org its dataset and its first key."""
    body = {"slug": slug, "name": name, "profile": profile}
    founded = server.ask("POST", "/organizations/onboard", root=True, json=body)
    edited = {"limits": limits.to_data()}
    return {**server.ask("PATCH", f"/organizations/{quoted(slug)}", root=True, json=edited)} | {
        "api_key": founded["api_key"]
    }


def _ask(server: Server, slug: str) -> dict[str, Any]:
    path = f"/organizations/{quoted(slug)}"
    used = server.get(f"{path}/quota", root=True)["limits"]
    return {
        **server.get(path, root=True),
        "usage": {name: each["used"] for name, each in used.items()},
        "credentials": server.get(f"/integrations/{quoted(slug)}", root=True)["credentials"],
    }


async def create_org(
    services: Services, slug: str, name: str, limits: Limits, profile: dict[str, str], *, demo: bool = False
) -> Org:
    """Store a new org. Raises `InvalidInput` for a bad slug or profile, `Conflict` when it exists."""
    check_profile(profile)
    now = services.clock.now()
    org = Org(slug=slug, name=name or slug, status="ACTIVE", limits=limits, created_at=now, profile=profile, demo=demo)
    await services.orgs.create(org)
    return org


async def _list(session: Session) -> list[dict[str, Any]]:
    with session.reading() as services:
        return [(await services.orgs.get(slug)).to_data() for slug in await services.orgs.slugs()]


async def _show(session: Session, slug: str) -> dict[str, Any]:
    with session.reading() as services:
        org = await known_org(services, slug)
        usage, _ = await read_usage(services, usage_path(slug))
        now = services.clock.now()
        page = await services.documents.query(f"orgs/{slug}/credentials")
    return {
        **org.to_data(),
        "usage": {
            "daily": usage.day_count if usage.day == now.strftime("%Y-%m-%d") else 0,
            "monthly": usage.month_count if usage.month == now.strftime("%Y-%m") else 0,
            "concurrent": sum(until > now for until in usage.active.values()),
        },
        "credentials": [
            {
                "credential_id": (name := document.path.rpartition("/")[2]),
                "provider": document.data["provider"],
                "status": document.data["status"],
                "default": org.default_credentials.get(document.data["provider"]) == name,
            }
            for document in page.documents
        ],
    }
