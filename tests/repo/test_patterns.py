"""No regular expression takes more than linear time: texts of strangers meet them, and Python cannot interrupt one."""

from __future__ import annotations

import re

import pytest

from tests.repo.adversarial import METHODS, Use, slow_text, uses

USES = list(uses())


@pytest.mark.parametrize("use", [pytest.param(use, id=use.where) for use in USES])
def test_a_pattern_is_linear(use: Use) -> None:
    assert slow_text(use.pattern, use.methods) == ""


def test_all_patterns_are_found() -> None:
    found = {use.where for use in USES}
    assert {"convergence.config.templates.template:SLOT", "convergence.config.sql.scanner:_PIECE"} <= found
    assert len(found) > 60


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?P<escapes>\\*)\{\s*(?P<name>[a-z]+)\s*\}",
        r"<([^>]*)>[^,<]*;\s*rel",
        r"(?:\\.|(?!').)*'",
        r"(a+)+b",
        r"\s*x",
        r"/\*.*?\*/",
    ],
)
def test_a_pattern_that_is_not_is_found_out(pattern: str) -> None:
    assert slow_text(re.compile(pattern, re.DOTALL), METHODS) != ""
