"""The page of quality: the gate's verdicts and the checks; what passed is folded away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from convergence.engine.services import dataset_of
from convergence.ports.warehouse import Lineage, Load
from tests.unit.entry.ui.conftest import Api, Browser, RunScenario
from tests.unit.entry.ui.page_shape import HOSTILE, check

GATE = "org_meta_focus_results"
CHECKS = "org_meta_dq_results"
FIXED = {"model": "FOCUS 1.3", "step_id": "gate", "rows_checked": 7}


async def record(
    api: Api, table: str, rows: Sequence[Mapping[str, Any]], *, run: str = "run_1", hours: int = 0
) -> None:
    """Record results of one run, so many hours ago."""
    services = api.at.services
    at, schema = services.clock.now() - timedelta(hours=hours), services.schemas.get(table)
    dataset = dataset_of(services, "acme")
    await services.warehouse.ensure_table(dataset, schema)
    stage = services.warehouse.stage(dataset, schema, run)
    await stage.write(0, [{**row, "checked_at": at} for row in rows])
    lineage = Lineage(org_slug="acme", pipeline_id=run, credential_id="", run_id=run, ingested_at=at)
    load = Load(job_id=run, dataset=dataset, table=schema, lineage=lineage, dates=(at.date(),))
    await services.warehouse.load(load, stage)


@pytest.mark.parametrize("text", ["passed", *HOSTILE], ids=["verdict", "script", "attribute", "direction", "long"])
def test_the_gates_verdicts_are_shown_and_leave_the_page_intact(run_scenario: RunScenario, text: str) -> None:
    async def scenario(api: Api) -> None:
        broken = {"status": "failed", "policy": "stop", "rows_failed": 3, "column_name": text, "detail": text}
        rows = [
            {**FIXED, "source": text, "rule_id": "*", "status": text, "rows_failed": 3},
            {**FIXED, "source": text, "rule_id": "R-1", **broken},
            {**FIXED, "source": text, "rule_id": "R-2", "status": "waived", "rows_failed": 1},
        ]
        await record(api, GATE, rows)
        page = await (await Browser.signed_in(api)).get("/ui/acme/quality")
        check(page)
        assert page.count("3 of 7") == 2
        assert ("R-1" in page, "failed, stop" in page, "R-2" in page) == (True, True, False)

    run_scenario(scenario)


def test_only_the_latest_verdict_of_the_gate_on_each_source_is_unfolded(run_scenario: RunScenario) -> None:
    def verdict(source: str, status: str, *broken: str) -> list[dict[str, Any]]:
        rows = [{"rule_id": "*", "status": status}, *({"rule_id": rule, "status": "failed"} for rule in broken)]
        return [{**FIXED, "source": source, "rows_failed": len(broken), **row} for row in rows]

    async def scenario(api: Api) -> None:
        for run, hours, broken in (("run_1", 72, ["OLD-1"]), ("run_2", 48, []), ("run_3", 24, ["NEW-1", "NEW-2"])):
            rows = verdict("openai", "warned" if broken else "passed", *broken)
            await record(api, GATE, [*rows, *verdict("aws", "passed")], run=run, hours=hours)
        page = await (await Browser.signed_in(api)).get("/ui/acme/quality")
        check(page)
        gate = page.partition('id="h-gate"')[2].partition('id="h-checks"')[0]
        unfolded, _, folded = gate.partition("<details>")
        assert [unfolded.count(text) for text in ("openai", "aws", "Warned", "Passed")] == [1, 1, 1, 1]
        assert unfolded.index("NEW-1") < unfolded.index("NEW-2")
        assert "OLD-1" not in gate
        assert "4 earlier verdicts, 3 passed" in folded
        assert [folded.count(f"runs/{run}") for run in ("run_1", "run_2", "run_3")] == [2, 2, 0]

    run_scenario(scenario)


def test_checks_that_passed_are_folded_away(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        fixed = {"check_type": "not_null", "table_name": "t", "step_id": "s", "on_fail": "fail", "rows_checked": 7}
        rows = [
            {**fixed, "check_name": f"check {n}", "status": "failed" if n == 3 else "passed", "rows_failed": n}
            for n in range(5)
        ]
        await record(api, CHECKS, rows)
        page = await (await Browser.signed_in(api)).get("/ui/acme/quality")
        check(page)
        assert "1 of the last 5 checks failed." in page
        unfolded, _, folded = page.partition('id="h-checks"')[2].partition("<details>")
        assert (unfolded.count("check 3"), unfolded.count("check 1")) == (1, 0)
        assert "4 checks passed" in folded
        assert (folded.count("check 3"), folded.count("check 1")) == (0, 1)

    run_scenario(scenario)
