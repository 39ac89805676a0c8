"""`convergence configs diff`: where a configs folder differs from the shipped one, after an upgrade for instance."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final

import click

from convergence.config.files.shipped import shipped_configs
from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session
from convergence.errors import NotFound, did_you_mean

_CHANGED, _YOURS, _MISSING = "changed", "yours", "missing"
_SAYS: Final = {
    _CHANGED: "differs from the shipped file",
    _YOURS: "is not shipped",
    _MISSING: "is shipped, but not in your folder",
}


@click.group("configs")
def command() -> None:
    """Compare your pipelines with the shipped ones."""


@command.command("diff", cls=Command)
@click.argument("file", required=False)
@click.pass_obj
def diff(session: Session, file: str | None) -> int:
    """List files that differ from the shipped ones, or show the lines of FILE, a path below the configs folder.

    \b
    Example:
      convergence configs diff openai/cost/usage_cost.yml
    """
    session.check_configs()
    own, shipped = _texts(session.configs_dir), _texts(shipped_configs())
    states = {
        name: _YOURS if name not in shipped else _MISSING if name not in own else _CHANGED
        for name in sorted(own.keys() | shipped.keys())
        if own.get(name) != shipped.get(name)
    }
    if file is not None:
        if file not in own.keys() | shipped.keys():
            raise NotFound(f"neither folder has {file!r}.{did_you_mean(file, own.keys() | shipped.keys())}")
        session.out.line(_lines(file, shipped.get(file, b""), own.get(file, b"")).rstrip("\n"))
    elif session.out.json:
        session.out.data({"files": [{"file": name, "state": state} for name, state in states.items()]})
    elif states:
        rows = [[name, state, _SAYS[state]] for name, state in states.items()]
        session.out.table(["file", "state", ""], rows)
    else:
        session.out.line("your configs are the shipped ones")
    return 0


def _texts(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def _lines(file: str, shipped: bytes, own: bytes) -> str:
    before, after = (text.decode(errors="replace").splitlines(keepends=True) for text in (shipped, own))
    return "".join(difflib.unified_diff(before, after, f"shipped/{file}", f"yours/{file}"))
