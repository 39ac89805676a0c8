"""Is the repository in order?"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "shared" / "convergence"
PYTHON = sorted(SOURCE.rglob("*.py"))
DDL = re.compile(r"\b(CREATE|ALTER|DROP)\s+(OR\s+REPLACE\s+)?(TEMP\s+)?(TABLE|VIEW|SCHEMA)\b", re.IGNORECASE)
# The state store is SQLite's own; in the dialect's modules these words are the names of statements.
# A merge on BigQuery keeps its staged rows in a temporary table, whose columns are the schema file's.
# A report's view has the columns of the SELECT in its file.
DDL_ALLOWED = {"adapters/local/documents/opening.py", "adapters/gcp/warehouse/load.py", "config/files/reports.py"}
CODE = re.compile(
    r'(?:code(?:: ClassVar\[str\])? ?(?:: str )?= ?|error(?:_data)?\((?:services, planned, )?)"([a-z_]+(?:\.[a-z_]+)?)"'
)
TOP_LEVEL = {
    ".ci", ".dockerignore", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "Dockerfile", "LICENSE", "Makefile",
    "README.md", "SECURITY.md", "configs", "docs", "functions", "infra", "pyproject.toml", "shared", "tests",
}  # fmt: skip


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return listing.splitlines()


def strings(tree: ast.AST) -> Iterator[str]:
    """Yield text that is not a docstring."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_the_top_level_is_the_layouts() -> None:
    assert {name.partition("/")[0] for name in tracked()} <= TOP_LEVEL


def test_no_table_is_described_in_python() -> None:
    found = [
        f"{path.relative_to(SOURCE)}: {text[:60]!r}"
        for path in PYTHON
        if path.relative_to(SOURCE).as_posix() not in DDL_ALLOWED and not {"googlesql", "duckdb_sql"} & set(path.parts)
        for text in strings(ast.parse(path.read_text()))
        if DDL.search(text)
    ]
    assert not found, "tables are described in configs/**/schemas/*.json: " + "; ".join(found)


def test_only_the_embedded_warehouse_spells_duckdb() -> None:
    trees = {path: ast.parse(path.read_text()) for path in PYTHON if {"googlesql", "domain", "ports"} & set(path.parts)}
    names = [
        f"{path.relative_to(SOURCE)}: {name}"
        for path, tree in trees.items()
        for name in [*strings(tree), *(found for node in ast.walk(tree) for found in spelled(node))]
        if "duckdb" in name.lower() or "DECIMAL(38" in name
    ]
    assert len(trees) > 20
    assert not names


def spelled(node: ast.AST) -> list[str]:
    """Return the names that a node defines or uses."""
    return [str(getattr(node, field)) for field in ("id", "attr", "name", "arg", "module") if hasattr(node, field)]


def test_no_drawer_is_called_utils() -> None:
    drawers = {"utils", "util", "common", "helpers", "helper", "misc", "manager"}
    assert not [path for path in PYTHON if path.stem in drawers or path.parent.name in drawers]


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_module_has_a_docstring_and_fits_a_reader(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert len(text.splitlines()) <= 400, "more than one reason to change means more than one file"


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_public_names_say_what_they_promise(path: Path) -> None:
    silent = [
        f"{path.name}:{node.lineno} {node.name}"
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not silent


def test_every_error_code_is_explained() -> None:
    explained = (ROOT / "docs" / "operations.md").read_text()
    codes = {
        match
        for path in PYTHON
        if SOURCE / "sandbox" not in path.parents  # it has its providers' codes
        for match in CODE.findall(path.read_text())
    }
    assert {"credential.rejected", "step.crashed_often", "step.failed", "run.timeout", "message.given_up"} <= codes
    assert not {code for code in codes if f"`{code}`" not in explained}, "docs/operations.md does not explain them"


def test_documents_link_only_to_what_is_there() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.stem)
def test_nothing_is_imported_from_a_test_file(path: Path) -> None:
    imported = [node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in imported if name and name.rpartition(".")[2].startswith("test_")]
