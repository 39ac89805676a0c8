"""Bad input over real HTTP, through the engine: a clear error, a quarantine or a stop; never a green run with less."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pytest

from convergence.domain.run import Run
from convergence.sandbox.faults import NAMES, Plan
from tests.unit.processors.installation import ORG, Here, days, installed

RANGE = days(date(2026, 10, 1), date(2026, 10, 10))  # two pages of seven days at most, all in the past


class Report(NamedTuple):
    """What is asked, and where it lands."""

    provider: str
    pipeline: str
    path: str
    table: str


REPORTS = {
    "usage": Report("openai", "openai/cost/cost_extract", "/usage/completions", "openai_usage_daily_raw"),
    "bill": Report("openai", "openai/cost/cost_extract", "/organization/costs", "openai_billing_daily_raw"),
    "messages": Report("anthropic", "anthropic/usage_cost", "usage_report/messages", "anthropic_usage_daily_raw"),
    "claude_code": Report("anthropic", "anthropic/claude_code", "/claude_code", "anthropic_claude_code_daily_raw"),
}
# Fault → words by which a person knows what happened. The run fails, and its table stays as it was.
FINAL = {
    "html": "instead of JSON: check the base URL",
    "error_200": "answers 200 with an error: the report is being built",
    "unauthorised": r"does not recognize the credential \(401\)",
    "bomb": "sends more than 64 MiB in one answer",
    "endless": "repeats its cursor|appears twice",
    "no_cursor": "has 'has_more' but no 'next_page'",
    "duplicate_page": "appears twice|belongs to 2026-10-01",
}
IN_DAYS = dict.fromkeys(("last_too_early", "lost_rows"), "the answer has no bucket for 2026-10-")
IN_COUNTS = {"negative": "is -5; a count must be", "changed_type": "'a few'"}
IN_MONEY = {"unknown_currency": "the currency is 'zzz', which is not a code of ISO 4217"}
# Passing trouble: the run completes with every row.
PASSING = ("truncated", "cut", "slow", "throttled", "server_error", "unavailable")
CASES = {
    "usage": {**FINAL, **IN_DAYS, **IN_COUNTS},
    "bill": {**FINAL, **IN_DAYS, **IN_MONEY},
    "messages": {**FINAL, **IN_DAYS, **IN_COUNTS},
    "claude_code": {**FINAL, **IN_COUNTS, **IN_MONEY},
}
Outcome = tuple[Run, int]


async def outcome(here: Here, report: Report, plan: Plan | None) -> Outcome:
    here.sandbox.broken[:] = [] if plan is None else [plan]
    run = await here.run(report.pipeline, api_base_url=here.url, **RANGE)
    assert plan is None or plan.hits, "the fault hit nothing"
    return run, len(await here.rows(f"SELECT 1 FROM {report.table}"))


async def outcomes(name: str, folder: Path) -> Mapping[str, Outcome]:
    """Each final fault, then each passing one, then none."""
    report = REPORTS[name]
    async with installed(folder) as here:
        services = here.installation.services
        await services.warehouse.ensure_table(f"{ORG}_dev", services.schemas.get(report.table))
        await here.set_up(report.provider)
        found = {}
        for fault in CASES[name]:
            plan = Plan(fault, report.path, first=1 if fault in IN_DAYS else 2)
            found[fault] = await outcome(here, report, plan)
        for fault in PASSING:
            found[fault] = await outcome(here, report, Plan(fault, report.path, first=2, times=1))
        return {**found, "": await outcome(here, report, None)}


@pytest.fixture(scope="module")
def all_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Mapping[str, Outcome]]:
    return lru_cache(lambda name: asyncio.run(outcomes(name, tmp_path_factory.mktemp(name))))


AllOf = Callable[[str], Mapping[str, Outcome]]


@pytest.mark.parametrize(("report", "fault"), [(report, fault) for report in CASES for fault in CASES[report]])
def test_a_bad_answer_stops_the_run_and_loads_nothing(report: str, fault: str, all_of: AllOf) -> None:
    run, rows = all_of(report)[fault]
    assert run.status == "failed"
    assert rows == 0
    assert run.error is not None
    assert re.search(CASES[report][fault], run.error["message"]), run.error["message"]


@pytest.mark.parametrize(("report", "fault"), [(report, fault) for report in CASES for fault in PASSING])
def test_passing_trouble_costs_no_row(report: str, fault: str, all_of: AllOf) -> None:
    run, rows = all_of(report)[fault]
    assert run.status == "completed", run.error
    assert rows == all_of(report)[""][1] > 0


CLOUDS = {
    "gemini": ("/queries", "genai_billing_daily_raw", "totalRows|reports 15 rows, but its pages hold 14"),
    "azure_openai": ("CostManagement/query", "genai_billing_daily_raw", ""),
}
IN_CLOUDS = ("html", "error_200", "unauthorised", "bomb")


def test_a_bad_answer_of_google_or_azure_stops_the_run_and_loads_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with installed(tmp_path) as here:
            services = here.installation.services
            await services.warehouse.ensure_table(f"{ORG}_dev", services.schemas.get("genai_billing_daily_raw"))
            await here.set_up(*CLOUDS)
            for provider, (path, table, lost) in CLOUDS.items():
                for fault, message in {**{name: FINAL[name] for name in IN_CLOUDS}, "lost_rows": lost}.items():
                    if message:
                        here.sandbox.broken[:] = [Plan(fault, path)]
                        run = await here.run(f"genai/payg/{provider}", **here.asks(provider), **RANGE)
                        assert run.status == "failed", (provider, fault)
                        assert re.search(message, str(run.error)), run.error
                        assert await here.rows(f"SELECT 1 FROM {table}") == []

    asyncio.run(work())


def test_a_model_of_tomorrow_is_named_and_has_no_price_instead_of_none(tmp_path: Path) -> None:
    async def work() -> None:
        async with installed(tmp_path) as here:
            await here.set_up("openai")
            here.sandbox.broken[:] = [Plan("unknown_model", "/usage/completions")]
            results = await here.good("genai/payg/openai", api_base_url=here.url, **RANGE)
            assert any("model-of-tomorrow" in one for one in results["calculate_costs"]["unpriced"])
            for table in ("openai_cost_daily", "genai_cost_daily_unified"):
                rows = await here.rows(
                    f"SELECT cost FROM {table} WHERE model = 'model-of-tomorrow' AND cost IS NOT NULL"
                )
                assert rows == []
            used = await here.rows("SELECT 1 FROM openai_usage_daily_raw WHERE model = 'model-of-tomorrow'")
            assert len(used) > 0

    asyncio.run(work())


def test_every_fault_that_the_sandbox_knows_is_tested() -> None:
    tested = {fault for cases in CASES.values() for fault in cases} | set(PASSING)
    assert set(NAMES) - tested == {"unknown_model"}
