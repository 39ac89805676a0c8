"""The pages of runs: what they say, and that forms do what their buttons promise."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from convergence.domain.records import changed
from convergence.engine.store import read_all_steps, require_run, step_path, write_run
from convergence.engine.views.run_search import Search, search_runs
from convergence.entry.ui.views.log import run_log
from convergence.errors import InvalidInput
from convergence.ports.documents import Replace
from tests.unit.entry.ui.conftest import Api, Browser, RunScenario
from tests.unit.entry.ui.page_shape import HOSTILE, check

FIXED = "openai/seed/model_pricing.csv"


async def broken(api: Api) -> str:
    """A run that failed."""
    answer = await api.ask("POST", "/pipelines/run/acme/shop/broken", org="acme", params={"wait": 20})
    assert answer.json()["status"] == "failed"
    run_id: str = answer.json()["run_id"]
    return run_id


def test_a_failed_run_says_why_first_and_offers_both_replays(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run_id = await broken(api)
        page = await (await Browser.signed_in(api)).get(f"/ui/acme/runs/{run_id}")
        places = [page.index(text) for text in (
            'aria-label="Verdict"', "load_plans failed: openai.seed_csv: there is no file", "Failing step:",
            "Edit and replay…", 'id="timeline"', 'id="steps"', 'id="logs"', 'id="transitions"', 'id="raw"',
        )]  # fmt: skip
        assert places == sorted(places)
        assert "Does 1 step again and replaces 1 slice. Keeps 0 completed steps with 0 rows." in page

    run_scenario(scenario)


def test_a_replay_with_an_edited_parameter_shows_the_change_before_it_runs(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run_id = await broken(api)
        browser = await Browser.signed_in(api)
        page = f"/ui/acme/runs/{run_id}/replay"
        checked = await browser.send(page, page, {"p.file": FIXED, "check": "1"}, 200)
        assert "<del>file: openai/seed/missing.csv</del>" in checked.text
        assert f"<ins>file: {FIXED}</ins>" in checked.text
        assert (await api.ask("GET", f"/pipelines/status/acme/{run_id}", org="acme")).json()["epoch"] == 0
        answer = await browser.send(page, page, {"p.file": FIXED, "plan": "pinned"})
        assert answer.headers["location"] == f"/ui/acme/runs/{run_id}"
        run = (await api.ask("GET", f"/pipelines/status/acme/{run_id}", org="acme")).json()
        assert (run["epoch"], run["parameters"]["file"]) == (1, FIXED)
        assert "openai/seed/missing.csv" in await browser.get(f"/ui/acme/runs/{run_id}")  # what it was before

    run_scenario(scenario)


def test_a_run_form_checks_plans_and_starts_once(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        page = "/ui/acme/run/shop/cost/daily"
        text = await browser.get(page)
        assert re.search(r"\d steps for 20", text)
        assert 'name="p.note"' in text
        assert 'value="none"' in text
        key = re.search(r'name="key" value="([^"]+)"', text)
        assert key is not None
        fields = {"p.note": "by hand", "key": key[1]}
        first = await browser.send(page, page, fields)
        second = await browser.send(page, page, fields)  # the button pressed twice
        assert first.headers["location"] == second.headers["location"]
        run_id = first.headers["location"].rpartition("/")[2]
        run = (await api.ask("GET", f"/pipelines/status/acme/{run_id}", org="acme")).json()
        assert (run["trigger"], run["parameters"]["note"]) == ("ui", "by hand")
        assert run["created_by"].startswith("key_")
        other = await browser.send(page, page, {**fields, "p.note": "another"}, 422)
        assert "by hand" not in other.text  # the same key with another request is refused, and said so
        assert key[1] not in other.text  # the next press is a new request

    run_scenario(scenario)


def test_a_run_is_started_for_other_days_by_its_form(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        page = "/ui/acme/run/shop/cost/daily"
        assert re.search(r'name="p\.start_date" type="date" value=""', await browser.get(page))
        days = {"p.start_date": "2026-11-02", "p.end_date": "2026-11-04"}
        checked = (await browser.send(page, page, {**days, "check": "1"}, 200)).text
        assert "steps for 2026-11-02 to 2026-11-04" in checked
        assert re.search(r'name="p\.end_date" type="date" value="2026-11-04"', checked)
        started = await browser.send(page, page, days)
        run_id = started.headers["location"].rpartition("/")[2]
        run = (await api.ask("GET", f"/pipelines/status/acme/{run_id}", org="acme")).json()
        assert [run["parameters"][name] for name in ("start_date", "end_date")] == ["2026-11-02", "2026-11-04"]

    run_scenario(scenario)


def test_a_replay_for_other_days_shows_the_change_before_it_runs(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        given = {"start_date": "2026-11-02", "end_date": "2026-11-04"}
        run_id = (await api.run("shop/broken", json=given))["run_id"]
        browser = await Browser.signed_in(api)
        page = f"/ui/acme/runs/{run_id}/replay"
        assert re.search(r'name="p\.end_date" value="2026-11-04"', await browser.get(page))
        days = {"p.file": FIXED, "p.start_date": "2026-11-05", "p.end_date": "2026-11-04"}
        wrong = await browser.send(page, page, {**days, "check": "1"}, 422)
        assert "start_date 2026-11-05 is after end_date 2026-11-04" in wrong.text
        days |= {"p.end_date": "2026-11-06"}
        checked = (await browser.send(page, page, {**days, "check": "1"}, 200)).text
        for name, before, after in (
            ("start_date", "2026-11-02", "2026-11-05"),
            ("end_date", "2026-11-04", "2026-11-06"),
        ):
            assert f"<del>{name}: {before}</del>" in checked
            assert f"<ins>{name}: {after}</ins>" in checked
        await browser.send(page, page, days)
        run = (await api.ask("GET", f"/pipelines/status/acme/{run_id}", org="acme")).json()
        assert [run["parameters"][name] for name in ("start_date", "end_date", "date")] == [
            "2026-11-05", "2026-11-06", "2026-11-06",
        ]  # fmt: skip
        assert (run["start_date"], run["end_date"]) == ("2026-11-05", "2026-11-06")

    run_scenario(scenario)


def test_odd_days_are_asked_about_before_a_run_and_a_replay(
    run_scenario: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = {"start_date": "2999-01-01", "end_date": "2999-01-02"}
    monkeypatch.setattr("convergence.entry.ui.routes.replay.changes", lambda _: days)  # the pipeline declares no days

    async def scenario(api: Api) -> None:
        browser = await Browser.signed_in(api)
        run_id = await broken(api)
        for page in ("/ui/acme/run/shop/cost/daily", f"/ui/acme/runs/{run_id}/replay"):
            fields = {f"p.{name}": day for name, day in days.items()}
            asked = await browser.send(page, page, fields, 422)
            assert "2999-01-02 is in the future" in asked.text
            assert 'name="force"' in asked.text
            assert 'name="force"' not in await browser.get(page)
            confirmed = await browser.send(page, page, {**fields, "force": "1"})
            assert confirmed.headers["location"].startswith("/ui/acme/runs/run_")

    run_scenario(scenario)


def test_the_history_filters_by_the_address_and_pages_by_key(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run_id = await broken(api)
        for _ in range(3):
            await api.run()
        browser = await Browser.signed_in(api)
        page = "/ui/acme/pipelines/history"
        assert (await browser.get(page)).count("data-move") == 4
        failed = await browser.get(f"{page}?status=failed&pipeline=shop/broken&trigger=api&provider=shop")
        assert failed.count("data-move") == 1
        assert run_id in failed
        assert "No run matches" in await browser.get(f"{page}?trigger=schedule")
        assert "No run matches" in await browser.get(f"{page}?since=2999-01-01")
        assert "No run matches" in await browser.get(f"{page}?until=2020-01-01")
        for wrong in ("status=exploded", "since=yesterday", "until=9999-12-31", "cursor=x"):
            assert "There is no" not in await browser.get(f"{page}?{wrong}", 422)
        found = await search_runs(api.at.services, "acme", Search(pipeline="shop/cost/daily"), limit=2)
        rest = await search_runs(
            api.at.services, "acme", Search(pipeline="shop/cost/daily"), limit=2, cursor=found.cursor
        )
        assert [len(found.runs), len(rest.runs), rest.cursor] == [2, 1, None]
        assert {run.run_id for run in found.runs}.isdisjoint(run.run_id for run in rest.runs)

    run_scenario(scenario)


def test_a_bulk_replay_counts_first_and_does_what_was_counted(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        failed, fine = await broken(api), (await api.run())["run_id"]
        browser = await Browser.signed_in(api)
        page = "/ui/acme/pipelines/history"
        counted = await browser.send(page, page, {"act": "replay", "run": [failed, fine]}, 200)
        assert "1 of 2 can" in counted.text
        assert (await api.ask("GET", f"/pipelines/status/acme/{failed}", org="acme")).json()["epoch"] == 0
        done = await browser.send(page, page, {"act": "replay", "run": [failed, fine], "sure": "1"}, 200)
        assert "started again" in done.text
        assert (await api.ask("GET", f"/pipelines/status/acme/{failed}", org="acme")).json()["epoch"] == 1
        await browser.send(page, page, {"act": "replay"}, 422)
        await browser.send(page, page, {"act": "cancel", "run": "run_0"}, 404)

    run_scenario(scenario, orgs=("acme",))


def test_list_and_page_show_the_same_status(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run_id = await broken(api)
        browser = await Browser.signed_in(api)
        words = [re.search(r'class="st (\w+)"', page.partition("<tbody>" if "<tbody" in page else "x")[2]) for page in (
            await browser.get("/ui/acme/pipelines"), await browser.get("/ui/acme/pipelines/history"),
        )]  # fmt: skip
        verdict = re.search(r'<div class="say"><span class="st (\w+)"', await browser.get(f"/ui/acme/runs/{run_id}"))
        assert verdict is not None
        assert [each and each[1] for each in words] == [verdict[1], verdict[1]] == ["fail", "fail"]

    run_scenario(scenario)


def test_a_search_for_a_word_of_the_log_finds_its_lines(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run_id = (await api.run())["run_id"]
        browser = await Browser.signed_in(api)
        lines = [
            {
                "at": f"2026-11-28T00:00:00.{n:06}Z",
                "level": "INFO",
                "step_id": "look",
                "message": f"line {n}",
                "exception": "trace",
            }
            for n in range(20_000)
        ]
        object.__setattr__(api.at, "log_lines", lambda _: lines)
        page = await browser.get(f"/ui/acme/runs/{run_id}")
        assert "The last 200 of 20,000 lines" in page
        assert "line 19999<" in page
        assert "line 19799<" not in page
        assert "trace" not in page
        found = await browser.get(f"/ui/acme/runs/{run_id}?q=line+1234&level=INFO")
        assert "11 of 20,000 lines" in found

    run_scenario(scenario)


def test_a_long_log_begins_with_its_last_200_lines(run_scenario: RunScenario) -> None:
    lines = [
        {"at": f"2026-11-30T12:{n // 60 % 60:02}:{n % 60:02}.000000Z", "level": "info", "message": f"line {n}"}
        for n in range(3_600)
    ]

    async def scenario(api: Api) -> None:
        at = replace(api.at, log_lines=lambda _: lines)
        log = await run_log(at, "run_1")
        assert [log.lines[0].message, log.lines[-1].message] == ["line 3400", "line 3599"]
        assert log.note == "The last 200 of 3,600 lines, oldest first"
        found = await run_log(at, "run_1", text="line 17")  # 17, 170 to 179, 1700 to 1799
        assert (found.matching, found.note) == (111, "111 of 3,600 lines")

    run_scenario(scenario)


def test_a_cursor_that_is_made_up_is_refused(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        try:
            await search_runs(api.at.services, "acme", Search(), cursor="made up")
        except InvalidInput:
            return
        raise AssertionError("it was taken")

    run_scenario(scenario)


def test_parent_children_schedule_and_backfill_are_linked(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        parent, run_id, child = [(await api.run())["run_id"] for _ in range(3)]
        stored = await require_run(api.at.services, "acme", run_id)
        linked = changed(
            stored.run, parent_run=parent, children=(child,), backfill_id="bf_1", schedule_id="sch_1", epoch=0
        )
        await write_run(api.at.services, linked, stored.version)
        browser = await Browser.signed_in(api)
        page = await browser.get(f"/ui/acme/runs/{run_id}")
        for target in (f"runs/{parent}", f"runs/{child}", "pipelines/schedules#bf_1", "pipelines/schedules#sch_1"):
            assert f'href="/ui/acme/{target}"' in page, target
        await browser.get(f"/ui/acme/runs/{parent}")
        await browser.get(f"/ui/acme/runs/{child}")

    run_scenario(scenario)


@pytest.mark.parametrize("text", HOSTILE, ids=["script", "attribute", "direction", "long"])
def test_what_a_processor_returns_leaves_the_page_intact(run_scenario: RunScenario, text: str) -> None:
    async def scenario(api: Api) -> None:
        services, run_id = api.at.services, (await api.run())["run_id"]
        run = (await require_run(services, "acme", run_id)).run
        step, version = (await read_all_steps(services, run))["look"]
        returned = {"files": [text], text[:200]: {text[:200]: text}, "rows_written": 1}
        moves = [*step.transitions, (step.transitions[-1][0], step.status.value, text)]
        spoiled = changed(step, result=returned, transitions=tuple(moves))
        await services.documents.commit([Replace(step_path(run, "look"), version, spoiled.to_data())])
        browser = await Browser.signed_in(api)
        page = await browser.get(f"/ui/acme/runs/{run_id}?step=look")
        check(page)
        assert "rows_written" in page
        file = await browser.client.get(f"/ui/acme/runs/{run_id}/steps/look.json")
        assert (file.headers["content-type"], file.json()["result"]["files"]) == ("application/json", [text])

    run_scenario(scenario)


def test_a_run_of_300_steps_is_shown_fifty_steps_and_200_transitions_at_a_time(run_scenario: RunScenario) -> None:
    wide = 'pipeline_id: "{org_slug}-shop-wide"\nprovider: shop\ndomain: usage\nsteps:\n'
    wide += "".join(f"  - {{step_id: part-{n:03}, ps_type: generic.noop}}\n" for n in range(300))

    async def scenario(api: Api) -> None:
        path = api.at.services.configs_dir / "shop" / "wide.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(wide, "utf-8")
        answer = await api.ask("POST", "/pipelines/run/acme/shop/wide", org="acme", params={"wait": 60})
        assert answer.json()["status"] == "completed"
        browser, here = await Browser.signed_in(api), f"/ui/acme/runs/{answer.json()['run_id']}"
        first, last = await browser.get(here), await browser.get(f"{here}?page=6")
        for page, shown in ((first, {"000", "049"}), (last, {"250", "299"})):
            listed = set(re.findall(r'class="mono">part-(\d+)</th>', page.partition('id="transitions"')[0]))
            assert (len(listed), shown <= listed) == (50, True)
        latest, oldest = re.findall(r"(\d+) of (\d+), oldest first", first + await browser.get(f"{here}?moves=99"))
        assert latest == ("200", oldest[1])
        assert int(oldest[1]) >= 601, "each step and the run have begun and ended"
        assert int(oldest[0]) == int(oldest[1]) % 200 or int(oldest[0]) == 200
        assert max(map(len, (first, last))) < 200_000

    run_scenario(scenario)
