"""Phrases that read as translated do not return: documentation and configs have none, code has at most `CODE_MAX`."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CODE = sorted((ROOT / "shared" / "convergence").rglob("*.py"))
# What people write and read there; the compiled rules of FOCUS quote the specification.
CONFIGS = sorted(
    path
    for path in (ROOT / "configs").rglob("*")
    if path.suffix in {".yml", ".sql", ".json"} and path.name != "rules_1_3.json"
)
LIST = Path(__file__).with_name("unwanted_phrases.txt")
# In all strings, docstrings and comments of the package together. It may only fall: lower it whenever there are fewer.
CODE_MAX = 1


def unwanted() -> list[tuple[re.Pattern[str], str]]:
    """Return each pattern of the list with what to write instead."""
    lines = [line for line in LIST.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    parts = [line.partition("  ") for line in lines]
    return [(re.compile(pattern, re.IGNORECASE), instead.strip()) for pattern, _, instead in parts]


UNWANTED = unwanted()


def phrases(text: str) -> Iterator[str]:
    """Yield the phrases of the list that a text has, each with what to write instead."""
    flat = re.sub(r"\s+", " ", text)
    for pattern, instead in UNWANTED:
        for found in pattern.finditer(flat):
            yield f"{flat[max(0, found.start() - 30) : found.end() + 20]!r}: {instead}"


def prose(page: str) -> str:
    """Return a page without its code: blocks and what stands between backticks."""
    text = re.sub(r"^```.*?^```", " ", page, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(`+)(?:(?!\1).)+\1", "`…`", text)


def strings(source: str) -> Iterator[str]:
    """Yield what people read of a module: docstrings, strings, fixed parts of f-strings (no single words), comments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_has_none(page: Path) -> None:
    assert list(phrases(prose(page.read_text("utf-8")))) == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_config_has_none(path: Path) -> None:
    assert list(phrases(prose(path.read_text("utf-8")))) == []


def test_comments_are_read() -> None:
    found = [phrase for text in strings("x = 1  # whoever reads it\n") for phrase in phrases(text)]
    assert len(found) == 1


def test_code_has_no_more_than_recorded() -> None:
    found = [f"{path.relative_to(ROOT)}: {phrase}" for path in CODE for text in strings(path.read_text("utf-8"))
             for phrase in phrases(text)]  # fmt: skip
    assert len(found) <= CODE_MAX, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("this is no dispatch message", 1),
        ("there is no column k", 0),
        ("this is no longer so, there are no more of them", 0),
        ("an own processor", 1),
        ("Nobody reads it, whoever writes it", 2),
        ("it is kept as a letter; dead letters are not letters", 2),
        ("letters, digits, `_`; starting with a letter", 0),
        ("mend the file", 1),
        ("a dead\nletter", 0),
        ("the ledger says that it did; the message says when", 1),
        ("a name that is none, a column it has not.", 2),
        ("a table wants the rows, and a reader wants to see them", 1),
        ("what lives in the folder lies below it; a live owner", 2),
        ("never in clear, not any more, it belongs into the file", 3),
        ("two structs cannot stand side by side; PIVOT stands behind a table", 2),
        ("3 of 9 bytes came, so the file is not there in another form than listed", 3),
        ("it takes the signature for too old; no way from failed to running", 2),
        ("a cron has five fields, a cron expression and a cron job do not count", 1),
        ("18 digits behind the point, separated by blanks; the row comes twice", 3),
        ("the charges behind it stand for the data behind a chart", 0),
    ],
)
def test_the_list_finds_what_it_should(text: str, number: int) -> None:
    assert len(list(phrases(text))) == number
