"""`convergence processors`: what steps can be made of."""

from __future__ import annotations

from typing import Any

import click

from convergence.config.processors import ps_types
from convergence.config.processors.packages import GROUP, OWN, offers
from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session
from convergence.errors import NotFound, StepFailed


@click.command("processors", cls=Command)
@click.argument("name", metavar="[PS_TYPE]", required=False)
@click.pass_obj
def command(session: Session, name: str | None) -> int:
    """List the installed processors, or show one with the JSON Schema of its config.

    \b
    Example:
      convergence processors
      convergence processors generic.api_extractor --json
    """
    known = ps_types.installed()
    if name is not None:
        return _show(session, ps_types.canonical(name), known)
    rows = [_described(each) for each in sorted(known)]
    if session.out.json:
        session.out.data({"processors": rows})
    else:
        session.out.table(
            ("processor", "module", "package", ""),
            [(row["ps_type"], row["module"], ", ".join(row["packages"]), row["problem"] or "") for row in rows],
        )
    return 0


def _show(session: Session, name: str, known: frozenset[str]) -> int:
    if name not in known:
        raise NotFound(ps_types.unknown(name[:100]))
    row = {**_described(name), "config_schema": _schema(name)}
    if session.out.json:
        session.out.data(row)
        return 0
    session.out.line(f"{row['ps_type']}  {row['module']}  {', '.join(row['packages'])}")
    if row["problem"]:
        session.out.line(row["problem"])
    for key, described in (row["config_schema"] or {}).get("properties", {}).items():
        kind = described.get("type", "")
        session.out.line(f"  {key}{f' ({kind})' if kind else ''}  {described.get('description', '')}".rstrip())
    return 0


def _described(name: str) -> dict[str, Any]:
    """Return name, module and packages, without importing the processor."""
    offered = offers().get(name, ())
    shipped = name in ps_types.modules_below(ps_types.FOLDER)
    return {
        "ps_type": name,
        "module": offered[0].entry.value if offered and not shipped else f"{GROUP}.{name}",
        "packages": [*([OWN] if shipped else []), *sorted({each.package for each in offered})],
        "problem": ps_types.contested(name) or None,
    }


def _schema(name: str) -> dict[str, Any] | None:
    """Return the JSON Schema of the processor's config, None when it publishes none or cannot be loaded."""
    try:
        model = getattr(ps_types.load(name), "config_model", None)
    except StepFailed:
        return None
    schema: dict[str, Any] | None = None if model is None else model.model_json_schema()
    return schema
