"""Which pipelines `convergence demo --all` runs, and in which order: from their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.config.catalog import Catalog
from convergence.entry.cli.commands.demo.order import Planned, ordered, planned

DAYS = {"start_date": "2026-11-10", "end_date": "2026-11-13"}
CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.fixture
def shipped() -> list[Planned]:
    catalog = Catalog(CONFIGS)
    return ordered(planned(name, catalog.get(name), {"api_key": "k"}, DAYS) for name in catalog.names())


def test_keys_and_seeds_come_first_and_what_reads_the_work_of_others_last(shipped: list[Planned]) -> None:
    names = [each.name for each in shipped]

    def place(name: str) -> int:
        return names.index(name)

    assert place("openai/auth/setup") < place("openai/cost/cost_extract") < place("openai/cost/cost_calculation")
    assert place("anthropic/auth/setup") < place("genai/payg/anthropic") < place("genai/unified/consolidate")
    assert len(names) == len(set(names)) == len(Catalog(CONFIGS).names())


def test_a_pipeline_that_names_another_comes_behind_it(tmp_path: Path) -> None:
    def pipeline(name: str, config: str) -> None:
        file = tmp_path / f"acme/cost/{name}.yml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            f'pipeline_id: "{{org_slug}}-acme-cost-{name}"\nsteps:\n'
            f"  - {{step_id: extract_rows, ps_type: generic.noop, config: {{{config}}}}}\n",
            "utf-8",
        )

    pipeline("a", 'usage_pipeline_id: "{org_slug}-acme-cost-b"')
    pipeline("b", 'usage_pipeline_id: "{org_slug}-acme-cost-c"')
    pipeline("c", "")
    catalog = Catalog(tmp_path)
    found = ordered(planned(name, catalog.get(name), {}, DAYS) for name in catalog.names())
    assert [each.name for each in found] == ["acme/cost/c", "acme/cost/b", "acme/cost/a"]


def test_a_pipeline_gets_what_it_declares_and_says_what_is_missing() -> None:
    catalog = Catalog(CONFIGS)
    setup = planned("openai/auth/setup", catalog.get("openai/auth/setup"), {"api_key": "k", "other": 1}, DAYS)
    assert setup.parameters == {"api_key": "k", **DAYS}
    assert planned("openai/auth/setup", catalog.get("openai/auth/setup"), {}, DAYS).lacks == ("api_key",)


def test_a_pipeline_that_tells_of_now_gets_no_past_days() -> None:
    balance = planned("genai/payg/deepseek", Catalog(CONFIGS).get("genai/payg/deepseek"), {}, DAYS)
    assert balance.parameters == {}
