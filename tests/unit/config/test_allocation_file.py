"""`system/allocation.yml`: rules that cannot hold, or that nothing reaches, are refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.config.checks.validation import validate
from convergence.config.files.allocation import load_allocation
from convergence.errors import ConfigErrors

CONFIGS = Path(__file__).parents[3] / "configs"
SHARE = """
  - name: pool
    from: 2026-01-01
    to: 2026-06-30
    when: {tags: {app: [pool]}}
    split_by_share: {teams: {Search: 60, Ads: 30}}
"""
USAGE = "\n  - {name: pool, split_by_usage: {unit: Tokens}}"


@pytest.mark.parametrize(
    ("rules", "where", "message"),
    [
        (SHARE.replace("30}", "41}"), "6:", "add up to 101, more than 100 (key `of`)"),
        (SHARE.replace("60", "0"), "6:", "must be at least 1"),
        (SHARE.replace("60", "33.3"), "6:", "a whole number"),
        (SHARE.replace("06-30", "06-31"), "4:", "day"),
        (SHARE.replace("2026-06-30", "2025-06-30"), "2:", "ends on 2025-06-30, before it begins on 2026-01-01"),
        (SHARE + "    team: Ads\n", "2:", "must have exactly one of team, team_of_tag, team_of_hierarchy"),
        (SHARE.replace("app:", "'--':"), "5:", "no letter or digit"),
        (SHARE.replace("app: [pool]", "cost-center: ['1'], user:CostCenter: ['2']"), "5:", "are the same name"),
        (SHARE.replace("tags:", "tag:"), "5:", "'tag' is not known here"),
        (SHARE + SHARE, "1:", "names of rules must differ: pool"),
        (USAGE, "2:", "no rule gives charges to a team as a whole"),
        ("\n  - {name: all, team: Ads}" + SHARE, "3:", "the rule pool never applies: all before it takes all charges"),
    ],
)
@pytest.mark.parametrize("file", ["system/allocation.yml", "allocation/acme.yml"])
def test_mistakes_are_refused_with_their_line(rules: str, where: str, message: str, file: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(f"allocation:{rules}")
    with pytest.raises(ConfigErrors) as refused:
        load_allocation(tmp_path, "acme")
    problems = refused.value.problems
    assert message in str(problems[0])
    assert str(problems[0].where).startswith(f"{file}:{where}")
    assert list(map(str, validate(tmp_path, [tmp_path / file]).problems)) == list(map(str, problems))


def test_an_org_has_its_own_rules_the_common_ones_or_the_shipped_ones(tmp_path: Path) -> None:
    shipped = load_allocation(CONFIGS, "acme")
    assert [rule.method for rule in shipped.allocation] == ["tag", "hierarchy"]
    assert load_allocation(tmp_path, "acme") == shipped
    for folder, team in (("system", "all"), ("allocation", "own")):
        (tmp_path / folder).mkdir()
        name = "acme" if folder == "allocation" else "allocation"
        (tmp_path / folder / f"{name}.yml").write_text(f"allocation: [{{name: one, team: {team}}}]\n")
        assert [rule.team for rule in load_allocation(tmp_path, "acme").allocation] == [team]
    assert [rule.team for rule in load_allocation(tmp_path, "globex").allocation] == ["all"]
    (tmp_path / "allocation/globex.yaml").write_text("allocation: [{name: one, team: other}]\n")
    assert [rule.team for rule in load_allocation(tmp_path, "globex").allocation] == ["other"]


def test_a_rule_behind_one_that_takes_everything_may_hold_on_other_days(tmp_path: Path) -> None:
    (tmp_path / "allocation").mkdir()
    rules = "[{name: before, to: '2025-12-31', team: Old}, {name: since, from: '2025-12-31', team: New}]"
    (tmp_path / "allocation/acme.yml").write_text(f"allocation: {rules}\n")
    assert len(load_allocation(tmp_path, "acme").allocation) == 2
