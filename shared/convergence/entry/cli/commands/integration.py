"""`convergence integration`: a provider's credentials of an org."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import click

from convergence.config.files.providers import load_providers, provider_name
from convergence.engine.reseal import reseal_secrets
from convergence.entry.cli import remote
from convergence.entry.cli.commands import run
from convergence.entry.cli.options import Command
from convergence.entry.cli.parameters import parameter_options
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session, known_org


@click.group("integration")
def command() -> None:
    """Set up, validate, list and remove a provider's credentials."""


@command.command("setup", cls=Command)
@click.argument("org")
@click.argument("provider")
@parameter_options
@click.pass_context
def setup(context: click.Context, /, org: str, provider: str, **words: Sequence[str]) -> Any:
    """Run PROVIDER's auth/setup for ORG: store a key encrypted, and try it.

    \b
    Example:
      convergence integration setup acme openai --secret-from-env api_key=OPENAI_ADMIN_KEY
    """
    return _run(context, org, provider, "setup", words)


@command.command("validate", cls=Command)
@click.argument("org")
@click.argument("provider")
@parameter_options
@click.pass_context
def validate(context: click.Context, /, org: str, provider: str, **words: Sequence[str]) -> Any:
    """Run PROVIDER's auth/validate for ORG: try the stored key and keep the outcome with it.

    \b
    Example:
      convergence integration validate acme openai
    """
    return _run(context, org, provider, "validate", words)


@command.command("list", cls=Command)
@click.argument("org")
@click.pass_obj
def list_(session: Session, org: str) -> int:
    """List the credentials of ORG. Works while another process writes.

    \b
    Example:
      convergence integration list acme
    """

    async def work() -> list[dict[str, Any]]:
        with session.reading() as services:
            known = await known_org(services, org)
            return [
                {
                    "credential_id": each.credential_id,
                    "provider": each.provider,
                    "name": each.name,
                    "status": each.status,
                    "default": known.default_credentials.get(each.provider) == each.credential_id,
                }
                for each in await services.credentials.all(org)
            ]

    server = session.server()
    found = asyncio.run(work()) if server is None else server.get(f"/integrations/{quoted(org)}")["credentials"]
    if session.out.json:
        session.out.data({"credentials": found})
    else:
        rows = [tuple(each.values()) for each in found]
        session.out.table(("credential", "provider", "name", "status", "default"), rows)
    return 0


@command.command("delete", cls=Command)
@click.argument("org")
@click.argument("provider")
@click.argument("credential_id")
@click.pass_obj
def delete(session: Session, org: str, provider: str, credential_id: str) -> int:
    """Remove a credential.

    \b
    Example:
      convergence integration delete acme openai cred_0f3a5c7e9b1d2468
    """

    async def work() -> None:
        session.check_configs()
        name = provider_name(load_providers(session.configs_dir), provider)
        async with session.writing(f"integration delete {org}") as writer:
            await writer.services.credentials.delete(org, name, credential_id)

    server = session.server(writes=True)
    if server is None:
        session.go(work())
    else:
        server.ask("DELETE", f"/integrations/{quoted(org)}/{quoted(provider)}/{quoted(credential_id)}")
    if session.out.json:
        session.out.data({"credential_id": credential_id, "deleted": True})
    else:
        session.out.line(f"deleted {credential_id}")
    return 0


@command.command("reseal", cls=Command)
@click.argument("org")
@click.pass_obj
def reseal(session: Session, org: str) -> int:
    """Seal ORG's credentials and webhook secrets again where the key was rotated, so that its old version can go.

    \b
    Example:
      convergence integration reseal acme
    """

    async def work() -> int:
        async with session.writing(f"integration reseal {org}") as writer:
            await known_org(writer.services, org)
            return await reseal_secrets(writer.services, org)

    server = session.server(writes=True)
    if server is None:
        count = session.go(work())
    else:
        count = server.ask("POST", f"/integrations/{quoted(org)}/reseal")["resealed"]
    if session.out.json:
        session.out.data({"resealed": count})
    else:
        session.out.line(f"resealed {count}")
    return 0


def _run(context: click.Context, org: str, provider: str, verb: str, words: dict[str, Sequence[str]]) -> Any:
    """An integration is a run like any other."""
    session: Session = context.obj
    server = session.server(writes=True)
    if server is not None:
        given = (words["given"], words["variables"], words["files"])
        return remote.integrate(session, server, org, provider, verb, given)
    session.check_configs()
    name = provider_name(load_providers(session.configs_dir), provider)
    return context.invoke(
        run.command, org=org, pipeline=f"{name}/auth/{verb}", wait=True, idempotency_key=None, **words
    )
