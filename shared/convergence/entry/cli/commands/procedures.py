"""`convergence procedures`: stored procedures of the warehouse and their files."""

from __future__ import annotations

from typing import Any

import click

from convergence.config.files.procedures import load_procedures
from convergence.engine import procedures
from convergence.entry.cli.options import Command
from convergence.entry.cli.server import quoted
from convergence.entry.cli.session import Session


@click.group("procedures")
def command() -> None:
    """List, synchronise and remove stored procedures."""


@command.command("list", cls=Command)
@click.pass_obj
def list_(session: Session) -> int:
    """List the files of procedures and whether the warehouse has them as they are.

    \b
    Example:
      convergence procedures list
    """

    async def work() -> dict[str, str]:
        async with session.writing("procedures list") as writer:
            return {each.name: each.digest for each in await writer.services.warehouse.list_routines()}

    server = session.server(writes=True)
    if server is None:
        session.check_configs()
        files = [(each.name, each.source, each.digest) for each in load_procedures(session.configs_dir)]
        stored = session.go(work())
    else:
        there = server.get("/procedures/files", root=True)["procedures"]
        files = [(each["name"], each["source"], each["digest"]) for each in there]
        stored = {each["name"]: each["digest"] for each in server.get("/procedures", root=True)["procedures"]}
    rows: list[dict[str, Any]] = [
        {"name": name, "file": source, "state": _state(stored.pop(name, None), digest)}
        for name, source, digest in files
    ]
    rows += [{"name": name, "file": "", "state": "without a file"} for name in sorted(stored)]
    if session.out.json:
        session.out.data({"procedures": rows})
    else:
        session.out.table(("procedure", "file", "state"), [tuple(row.values()) for row in rows])
    return 0


@command.command("sync", cls=Command)
@click.option("--force", is_flag=True, help="Replace all, not only those whose file changed.")
@click.pass_obj
def sync(session: Session, force: bool) -> int:
    """Update the warehouse's procedures from their files. One that is wrong does not stop the others; then exit 1.

    \b
    Example:
      convergence procedures sync --force
    """

    async def work() -> dict[str, Any]:
        session.check_configs()
        routines = load_procedures(session.configs_dir)
        async with session.writing("procedures sync") as writer:
            done = await procedures.sync(writer.services.warehouse, routines, force=force)
            return {"synced": done.synced, "failed": {name: str(error) for name, error in done.failed.items()}}

    server = session.server(writes=True)
    if server is None:
        answer = session.go(work())
    else:
        asked = {"force": "true" if force else "false"}
        answer = server.ask("POST", "/procedures/sync", root=True, params=asked)
    synced, failed = answer["synced"], answer.get("failed", {})
    if session.out.json:
        session.out.data({"synced": synced, "failed": failed})
    else:
        session.out.line("\n".join(f"synced {name}" for name in synced) or "nothing has changed")
        for name, reason in failed.items():
            session.out.note(f"failed {name}: {reason}")
    return 1 if failed else 0


@command.command("delete", cls=Command)
@click.argument("name")
@click.pass_obj
def delete(session: Session, name: str) -> int:
    """Remove a procedure from the warehouse; its file stays.

    \b
    Example:
      convergence procedures delete sp_genai_focus_candidates_1_3
    """

    async def work() -> None:
        async with session.writing("procedures delete") as writer:
            await writer.services.warehouse.delete_routine(name)

    server = session.server(writes=True)
    if server is None:
        session.go(work())
    else:
        server.ask("DELETE", f"/procedures/{quoted(name)}", root=True)
    if session.out.json:
        session.out.data({"name": name, "deleted": True})
    else:
        session.out.line(f"deleted {name}")
    return 0


def _state(stored: str | None, digest: str) -> str:
    return "missing" if stored is None else "current" if stored == digest else "changed"
