"""Days that are probably a slip: the API starts nothing for them without `force`."""

from __future__ import annotations

from typing import Any

from tests.unit.entry.api.conftest import Api, RunScenario

LATER = {"start_date": "2999-01-01", "end_date": "2999-01-01"}
CENTURY = {"start_date": "1900-01-01", "end_date": "2000-01-01"}


def test_each_way_to_name_days_asks_first(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        failed = (await api.run("shop/broken"))["run_id"]
        letters = await api.ask("GET", "/dead-letters/acme", org="acme")
        letter = letters.json()["dead_letters"][0]["letter_id"]
        steps = "variables: {day: '{date}'}\nsteps: [{step_id: a, ps_type: generic.noop}]\n"
        one_day = f"pipeline_id: one-day\nprovider: shop\n{steps}"
        (api.at.services.configs_dir / "shop" / "one_day.yml").write_text(one_day)
        backfill: dict[str, Any] = {"from": "2999-01-01", "to": "2999-01-02"}
        old: dict[str, Any] = {"from": "1980-01-01", "to": "2000-01-01", "step": "month"}
        for path, body in (
            ("/pipelines/run/acme/shop/cost/daily", LATER),
            ("/pipelines/run/acme/shop/cost/daily", CENTURY),
            (f"/pipelines/replay/acme/{failed}", {"parameters": LATER}),
            (f"/dead-letters/acme/{letter}/replay", {"parameters": LATER}),
            ("/dead-letters/acme/replays", {"pipeline": "shop/broken", "parameters": LATER}),
            ("/pipelines/backfill/acme/shop/cost/daily", backfill),
            ("/pipelines/backfill/acme/shop/cost/daily", old),
            ("/pipelines/backfill/acme/shop/one_day", {"from": "2026-03-02", "to": "2026-03-08", "step": "week"}),
        ):
            answer = await api.ask("POST", path, org="acme", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "input.invalid"), path
            assert "force=true" in answer.json()["detail"]
        runs = (await api.ask("GET", "/pipelines/history/acme", org="acme")).json()["runs"]
        assert [(run["run_id"], run["epoch"]) for run in runs] == [(failed, 0)]

    run_scenario(scenario)


def test_force_confirms_and_a_dry_run_needs_none(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run = "/pipelines/run/acme/shop/cost/daily"
        assert (await api.ask("POST", run, org="acme", json=LATER, params={"dry_run": "true"})).status_code == 200
        assert (await api.ask("POST", run, org="acme", json=LATER, params={"force": "true"})).status_code == 202
        assert (await api.ask("POST", run, org="acme", json={"end_date": "MONTH_END"})).status_code == 202
        failed = (await api.run("shop/broken"))["run_id"]
        again = {"parameters": LATER, "force": True}
        assert (await api.ask("POST", f"/pipelines/replay/acme/{failed}", org="acme", json=again)).status_code == 202
        await api.installation.worker.wait("acme", failed)
        shown = (await api.ask("GET", f"/pipelines/status/acme/{failed}", org="acme")).json()
        assert (shown["epoch"], shown["start_date"]) == (1, "2999-01-01")
        backfill = {"from": "2999-01-01", "to": "2999-01-01", "force": True}
        made = await api.ask("POST", "/pipelines/backfill/acme/shop/cost/daily", org="acme", json=backfill)
        assert made.status_code == 202

    run_scenario(scenario)
