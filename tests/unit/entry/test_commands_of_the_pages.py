"""Commands that the pages for operators name exist, with these arguments and options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from convergence.entry.cli.main import cli

DOCS = Path(__file__).parents[3] / "docs"
PAGES = ("runbooks.md", "deploy.md", "operations.md", "google-cloud.md")
INLINE, LINE = re.compile(r"`convergence ([^`\n]+)`"), re.compile(r"^ *convergence ([^#\n]+)", re.MULTILINE)


def commands(page: str) -> list[str]:
    text = (DOCS / page).read_text("utf-8")
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return sorted({each.strip() for found in (INLINE.findall(text), *map(LINE.findall, blocks)) for each in found})


def mistake(words: list[str]) -> str | None:
    """Return what click says about a command line; None when it is right, or only names a command."""
    try:
        command: click.Command | None = cli
        while isinstance(command, click.Group) and words:
            name, *words = words
            command = command.get_command(click.Context(command), name)
        if command is None:
            return f"there is no {name}"
        if len(words) == 1 and words[0].startswith("--"):  # an option that a sentence names
            words = [*words, "value"]
        if words:
            command.make_context(name, words, obj=SimpleNamespace(out=SimpleNamespace()))  # what options are noted on
    except click.ClickException as error:
        said = error.format_message()
        return None if said.endswith("does not exist.") else said  # a folder of the reader's
    return None


@pytest.mark.parametrize("page", PAGES)
def test_what_an_operator_is_told_to_call_is_there(page: str) -> None:
    found = commands(page)
    assert found
    wrong = {each: mistake(shlex.split(each)) for each in found}
    assert {each: said for each, said in wrong.items() if said is not None} == {}


@pytest.mark.parametrize("text", ["replays RUN", "replay", "key revoke acme", "history acme --state failed"])
def test_what_is_not_there_is_found(text: str) -> None:
    name, *words = shlex.split(text)
    assert (mistake([name, *words]) is None) == (not words), text
