"""Documentation, docstrings and comments refer only to sections and files that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "shared" / "convergence"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CODE = sorted(
    path
    for folder in ("shared", "tests", "functions")
    for path in (ROOT / folder).rglob("*.py")
    if path != Path(__file__)
)
FOLDERS = (ROOT, SOURCE, ROOT / "configs", ROOT / "docs")

SECTION = re.compile(r"([\w./-]*\w\.md)`? §\s?(\d+)")
PATH = re.compile(
    r"(?<![\w./{}*~<>-])((?:[\w-]+/)+[\w-]+\.(?:py|md|json|ya?ml|sql|csv|toml|sh|txt))(?![\w/.*{-]*[{*/])"
)
# Examples, and files of a user.
MADE_UP = re.compile(r"\bacme\b|(?:\b|_)initech(?:\b|_)|^openai/cost\.yml$|profiles\.toml$")
# What past decisions and releases name has gone since.
HISTORY = {"CHANGELOG.md", *(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs" / "adr").glob("*.md"))}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def wrong_sections(text: str) -> Iterator[str]:
    """Yield references like `docs/engine.md §6` whose page or numbered heading does not exist."""
    for target, number in SECTION.findall(text):
        page = ROOT / target
        if not page.is_file() or f"\n## {number}. " not in page.read_text("utf-8"):
            yield f"{target} §{number}"


def missing_files(text: str, folder: Path) -> Iterator[str]:
    """Yield paths of files that lie in none of the folders from which texts name them."""
    for target in PATH.findall(text):
        if not MADE_UP.search(target) and not any((each / target).exists() for each in (*FOLDERS, folder)):
            yield target


def prose(path: Path) -> str:
    """Return a page without its blocks of code, or comments and docstrings of a module."""
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return "\n".join(re.findall(r'"""[^"]*(?:"(?!"")[^"]*)*"""|(?<!\S)#[^\n]*', text))


@pytest.mark.parametrize("path", [*PAGES, *CODE], ids=name_of)
def test_sections_exist(path: Path) -> None:
    assert list(wrong_sections(path.read_text("utf-8"))) == []


@pytest.mark.parametrize("path", [page for page in [*PAGES, *CODE] if name_of(page) not in HISTORY], ids=name_of)
def test_files_exist(path: Path) -> None:
    if SOURCE in path.parents or path.suffix == ".md":
        assert list(missing_files(prose(path), path.parent)) == []


def test_references_are_found() -> None:
    found = {target for path in CODE for target, _ in SECTION.findall(path.read_text("utf-8"))}
    assert found == {"docs/engine.md"}
    assert sum(len(SECTION.findall(path.read_text("utf-8"))) for path in CODE) >= 15


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("(docs/engine.md §6)", []),
        ("(docs/engine.md §99)", ["docs/engine.md §99"]),
        ("(scheduler.md §6)", ["scheduler.md §6"]),
    ],
)
def test_a_wrong_section_is_found(text: str, wrong: list[str]) -> None:
    assert list(wrong_sections(text)) == wrong


def test_a_missing_file_is_found() -> None:
    text = "see `engine/step/run_step.py`, engine/conclude.py, `configs/acme/x.yml` and runs/{run_id}/plan.json"
    assert list(missing_files(text, ROOT)) == ["engine/conclude.py"]


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_anchors_exist(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)]+)\)", page.read_text("utf-8")):
        linked = page.parent / target if target else page
        assert anchor in anchors(linked.read_text("utf-8")), f"{name_of(page)} links to {target}#{anchor}"


def rooms(block: str) -> Iterator[str]:
    """Yield the paths that an indented tree of folders names, except patterns."""
    parents: list[tuple[int, str]] = []
    for line in block.splitlines():
        depth = len(line) - len(line.lstrip())
        name = line.split()[0].rstrip(",")
        parents = [parent for parent in parents if parent[0] < depth]
        if not re.search(r"[{*]", name):
            path = "".join(parent for _, parent in parents) + name
            yield path
            if name.endswith("/"):
                parents.append((depth, name))


def test_the_rooms_of_the_architecture_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    block = page.partition("## The folders\n\n```\n")[2].partition("```")[0]
    named = list(rooms(block))
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []
