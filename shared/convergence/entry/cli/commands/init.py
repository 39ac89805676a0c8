"""`convergence init`: a folder of your own, with the shipped pipelines to begin with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

import click

from convergence.config.files.shipped import shipped_configs
from convergence.entry.cli.options import Command
from convergence.entry.cli.session import Session
from convergence.errors import InvalidInput

_MINIMAL: Final = ("example/hello.yml", "pipeline.schema.json")
_SCHEMA: Final = "configs/pipeline.schema.json"
# Editors complete and check pipelines by the schema (extension redhat.vscode-yaml; others read the same setting).
_EDITOR: Final = json.dumps({"yaml.schemas": {_SCHEMA: "configs/*/**/*.yml"}}, indent=2) + "\n"
_CI: Final = """# Checks every change of the pipelines.
name: pipelines
on: [push, pull_request]
jobs:
  validate:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: "3.12"}
      - run: pip install 'convergence-pipelines[embedded]'
      - run: convergence validate
"""
_FILES: Final = {
    ".gitignore": ".convergence/\n.env*\n",
    ".vscode/settings.json": _EDITOR,
    ".github/workflows/pipelines.yml": _CI,
}


@click.command("init", cls=Command)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--minimal", is_flag=True, help="One example pipeline instead of all shipped ones.")
@click.pass_obj
def command(session: Session, folder: Path, minimal: bool) -> int:
    """Make FOLDER, which must be new or empty: pipelines, editor settings, a CI example.

    What is hidden, such as .convergence and .git, may be there already.

    \b
    Example:
      convergence init costs
    """
    _refuse_full(folder)
    shipped = shipped_configs()
    for name in _MINIMAL if minimal else shipped_files(shipped):
        (folder / "configs" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shipped / name, folder / "configs" / name)
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    if session.out.json:
        session.out.data({"folder": str(folder), "files": shipped_files(folder)})
        return 0
    here = folder.resolve() == Path.cwd()
    session.out.line(f"made {folder.absolute() if here else folder}. Next:")
    if not here:
        session.out.line(f"  cd {folder}")
    session.out.line(f"  {session.program} validate")
    session.out.line(f"  {session.program} {'org create acme' if minimal else 'demo'}")
    return 0


def _refuse_full(folder: Path) -> None:
    """Raise `InvalidInput` for a folder with files that are not hidden, or with one that would be written over."""
    there = sorted(folder.iterdir()) if folder.exists() else []
    for path in there:
        if not path.name.startswith("."):
            raise InvalidInput(f"{folder.absolute()} is not empty: it has {path.name}. Name a new folder")
    for name in _FILES:
        if (folder / name).exists():
            raise InvalidInput(f"{folder.absolute()} has {name} already: move it away, or name a new folder")


def shipped_files(root: Path) -> list[str]:
    """Return the files below a folder, sorted."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
