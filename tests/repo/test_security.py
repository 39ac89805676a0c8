"""SECURITY.md promises what tests hold, and an audit that checked nothing is not a clean one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.repo.audit import CLEAN, NOT_CHECKED, VULNERABLE, verdict

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)\)")


def guarantees() -> list[str]:
    section = PAGE.partition("## What is guaranteed")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][2:]


def test_every_guarantee_names_a_test_file_that_has_tests() -> None:
    assert len(guarantees()) >= 10
    for line in guarantees():
        targets = LINK.findall(line)
        assert targets, line
        for target in targets:
            assert target.startswith("tests/"), target
            assert "\ndef test_" in (ROOT / target).read_text(), target


def test_the_page_links_only_to_what_is_there_and_says_how_to_report() -> None:
    for target in LINK.findall(PAGE):
        assert target.startswith("https://") or (ROOT / target).exists(), target
    assert "Report a vulnerability" in PAGE


FAULT = {"id": "CVE-1", "fix_versions": ["2.1"]}
GOOD = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [FAULT]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (3)"}


@pytest.mark.parametrize(
    ("packages", "code", "text"),
    [
        ([GOOD], CLEAN, "no known vulnerability in 1 packages"),
        ([GOOD, BAD, SKIPPED], VULNERABLE, "b 2: CVE-1, fixed in 2.1"),
        ([SKIPPED, SKIPPED], NOT_CHECKED, "no vulnerability database can be reached"),
        ([GOOD, SKIPPED], NOT_CHECKED, "the database did not answer for 1 packages"),
        ([], NOT_CHECKED, "no vulnerability database can be reached"),
        (None, NOT_CHECKED, "no vulnerability database can be reached"),
    ],
)
def test_an_audit_is_clean_only_when_every_package_was_looked_up(
    packages: list[dict[str, object]] | None, code: int, text: str
) -> None:
    found = verdict("dev", None if packages is None else {"dependencies": packages})
    assert found.code == code
    assert text in found.text
