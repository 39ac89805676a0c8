"""`system/precedence.yml`: what is not known, or says two things at once, is refused with file and line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from convergence.config.checks.validation import validate
from convergence.config.files.precedence import load_precedence
from convergence.config.files.service_names import overlap
from convergence.errors import ConfigErrors

CONFIGS = Path(__file__).parents[3] / "configs"
GOOD = """
  - name: bedrock
    from: 2026-01
    to: 2026-06
    sources:
      - {provider: aws, services: [Amazon Bedrock, AmazonBedrock]}
      - {provider: anthropic, services: [Anthropic API]}
"""

BACKWARDS = """
  - name: backwards
    from: 2026-06
    sources:
      - {provider: anthropic, services: [Anthropic API]}
      - {provider: aws, services: [AmazonBedrock]}
"""


def folder(root: Path, rules: str) -> Path:
    (root / "system").mkdir(exist_ok=True)
    shutil.copy(CONFIGS / "system/providers.yml", root / "system/providers.yml")
    (root / "system/precedence.yml").write_text(f"precedence:{rules}")
    return root


@pytest.mark.parametrize(
    ("rules", "where", "message"),
    [
        (GOOD.replace("aws", "awss"), "6:", "no provider is called 'awss'. Did you mean 'aws'?"),
        (GOOD.replace("Anthropic API", "Antropic API"), "7:", "has no service 'Antropic API' of anthropic. Did you"),
        (GOOD.replace("AmazonBedrock", "S3"), "6:", "has no service 'S3' of aws"),
        (GOOD + BACKWARDS, "13:", "would come before itself, by bedrock and backwards"),
        (GOOD.replace("anthropic, services: [Anthropic API]", "aws, services: [AmazonBedrock]"), "7:", "before itself"),
        (GOOD + GOOD.replace("2026-01", "2026-07").replace("2026-06", "2026-12"), "1:", "names of rules must differ"),
        (GOOD.replace("2026-06", "2025-06"), "2:", "ends in 2025-06, before it begins"),
        (GOOD.replace("from: 2026-01", "from: 2026-13"), "3:", "from"),
        (GOOD.replace("from: 2026-01", "match: [day, month]"), "2:", "either day or month"),
        (GOOD.replace(", services: [Anthropic API]", ""), "2:", "either all sources must name their services"),
        ("\n  - {name: one, sources: [{provider: aws}]}", "2:", "at least two sources"),
        (GOOD.replace("from:", "since:"), "3:", "'since' is not known here"),
        (GOOD.replace("AmazonBedrock", '"*Bed*"'), "6:", "the service '*Bed*' has more than one *"),
        (GOOD.replace("AmazonBedrock", '"*Azure"'), "6:", "has no service '*Azure' of aws"),
        (GOOD + BACKWARDS.replace("AmazonBedrock", '"Amazon*"'), "13:", "before itself, by bedrock and backwards"),
        (
            GOOD.replace("AmazonBedrock", '"* (Amazon Bedrock Edition)"')
            + BACKWARDS.replace("AmazonBedrock", '"Claude*"'),
            "13:",
            "would come before itself",
        ),
    ],
)
def test_mistakes_are_refused_with_their_line(rules: str, where: str, message: str, tmp_path: Path) -> None:
    root = folder(tmp_path, rules)
    with pytest.raises(ConfigErrors) as refused:
        load_precedence(root)
    problems = refused.value.problems
    assert message in str(problems[0])
    assert str(problems[0].where).startswith(f"system/precedence.yml:{where}")
    assert list(map(str, validate(root, [root / "system/precedence.yml"]).problems)) == list(map(str, problems))


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("Claude (Edition)", "* (Edition)", True),
        ("Claude", "* (Edition)", False),
        (" (Edition)", "* (Edition)", True),
        ("ab", "ab*b", False),
        ("a*", "*b", True),
        ("a*c", "ab*bc", True),
        ("a*", "b*", False),
        ("*a", "*b", False),
        ("a", "a", True),
    ],
)
def test_two_names_overlap_where_a_service_has_both(one: str, other: str, both: bool) -> None:
    assert overlap(one, other) == overlap(other, one) == both


def test_one_service_may_have_a_rule_after_the_other(tmp_path: Path) -> None:
    later = GOOD.replace("bedrock", "later").replace("2026-01", "2026-07").replace("2026-06", "2026-12")
    rules = load_precedence(folder(tmp_path, GOOD + later)).precedence
    assert [(rule.name, rule.from_, rule.to) for rule in rules] == [
        ("bedrock", "2026-01", "2026-06"),
        ("later", "2026-07", "2026-12"),
    ]


def test_a_bill_may_come_first_in_several_rules_and_a_circle_of_three_is_found(tmp_path: Path) -> None:
    others = """
  - name: resold
    sources: [{provider: aws, services: [Amazon Bedrock]}, {provider: commitment, services: [Amazon Bedrock]}]
"""
    assert len(load_precedence(folder(tmp_path, GOOD + others)).precedence) == 2
    circle = """
  - name: closing
    sources: [{provider: commitment, services: [Amazon Bedrock]}, {provider: openai, services: [OpenAI API]}]
  - name: circle
    from: 2026-03
    sources: [{provider: openai, services: [OpenAI API]}, {provider: aws, services: [Amazon Bedrock]}]
"""
    with pytest.raises(ConfigErrors, match="by resold and closing and circle"):
        load_precedence(folder(tmp_path, GOOD + others + circle))


def test_the_shipped_rules_hold_also_beside_another_registry(tmp_path: Path) -> None:
    shipped = load_precedence(CONFIGS)
    (tmp_path / "system").mkdir()
    (tmp_path / "system/providers.yml").write_text("providers: {}")
    assert load_precedence(tmp_path) == shipped
    assert [[source.provider for source in rule.sources] for rule in shipped.precedence] == [
        ["gcp", "vertex", "gemini", "commitment"],
        ["azure", "focus", "azure_openai"],
        ["azure", "commitment"],
        ["focus", "commitment"],
        ["aws", "focus"],
        ["aws", "commitment"],
        ["focus", "commitment"],
    ], "bills first: they are whole, and restated"
