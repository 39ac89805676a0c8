"""One stored field says that a completed run has warnings, and every page, the API and the command line read it."""

from __future__ import annotations

from pathlib import Path

from convergence.domain.records import changed
from convergence.domain.run import Run
from convergence.engine.store import require_run, write_run
from tests.unit.entry.api.conftest import PIPELINES
from tests.unit.entry.conftest import Cli
from tests.unit.entry.ui.conftest import Api, Browser, RunScenario

WORDS = "Completed with warnings"


async def seen(api: Api, browser: Browser, run_id: str) -> dict[str, bool]:
    """Where the run is shown as one with warnings."""
    runs = "/ui/acme/pipelines/history"
    listed = (await api.ask("GET", "/pipelines/history/acme", org="acme")).json()["runs"]
    status = (await api.ask("GET", f"/pipelines/status/acme/{run_id}", org="acme")).json()
    pipelines = await browser.get("/ui/acme/pipelines")
    chosen = await browser.send(runs, runs, {"act": "replay", "run": [run_id]}, 200)
    return {
        "page": WORDS in (await browser.get(f"/ui/acme/runs/{run_id}")).partition('id="timeline"')[0],
        "title": f"<title>{WORDS}" in await browser.get(f"/ui/acme/runs/{run_id}"),
        "history": run_id in await browser.get(f"{runs}?status=completed_with_warnings"),
        "not among the completed": run_id not in await browser.get(f"{runs}?status=completed"),
        "strip": "1 completed with warnings" in pipelines,
        "last run": WORDS in pipelines.partition("<tbody")[2].partition("</tbody>")[0],
        "bulk": WORDS in chosen.text,
        "api, one": status["outcome"] == "completed_with_warnings",
        "api, list": next(each for each in listed if each["run_id"] == run_id)["outcome"] == "completed_with_warnings",
    }


def test_every_reader_shows_the_stored_field(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run_id = (await api.run("shop/tolerant"))["run_id"]
        browser = await Browser.signed_in(api)
        stored = await require_run(api.at.services, "acme", run_id)
        assert (stored.run.status, stored.run.with_warnings, len(stored.run.warnings)) == ("completed", True, 1)
        assert not {where: found for where, found in (await seen(api, browser, run_id)).items() if not found}
        # Nothing derives it from the warnings: without the field they make no difference anywhere.
        await write_run(api.at.services, changed(stored.run, with_warnings=False), stored.version)
        api.at.services.cache.forget(stored.run)
        assert not any((await seen(api, browser, run_id)).values())

    run_scenario(scenario)


def test_the_command_line_says_it_too(acme: Cli, configs: Path) -> None:
    (configs / "shop" / "tolerant.yml").write_text(PIPELINES["shop/tolerant"])
    ran = acme("run", "acme", "shop/tolerant")
    assert (ran.code, "completed with warnings  shop/tolerant" in ran.out) == (0, True), ran
    run_id = acme("history", "acme", "--json").data["runs"][0]["run_id"]
    for command in (["status", run_id], ["history", "acme"], ["logs", run_id]):
        assert "completed with warnings" in acme(*command).out, command


def test_a_run_that_an_earlier_release_stored_shows_its_warnings(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> Run:
        run_id = (await api.run("shop/tolerant"))["run_id"]
        return (await require_run(api.at.services, "acme", run_id)).run

    data = run_scenario(scenario).to_data()
    del data["with_warnings"]
    assert Run.from_data(data).outcome == "completed_with_warnings"
    assert Run.from_data({**data, "warnings": ()}).outcome == "completed"
    assert Run.from_data({**data, "status": "failed"}).outcome == "failed"
