"""Every page: for its org alone, under the policy, and intact whatever tenants and providers write."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from convergence.domain.records import changed
from convergence.engine.store import read_run, write_run
from convergence.entry.ui.pages import FOLDER
from tests.unit.entry.ui.conftest import ROOT_KEY, Api, Browser, RunScenario, csrf, routes
from tests.unit.entry.ui.page_shape import HOSTILE, check


def filled(path: str, run_id: str, org: str = "acme") -> str:
    names = {
        "{org}": org,
        "{run_id}": run_id,
        "{path:path}": "shop/cost/daily",
        "{step_id}": "look",
        "{name}": "ui.css",
    }
    for name, value in names.items():
        path = path.replace(name, value)
    return path


def test_another_orgs_session_opens_no_page_and_no_answer_tells_what_exists(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run_id = (await api.run())["run_id"]
        browser = await Browser.signed_in(api, "globex")
        walked = 0
        for path in routes("GET"):
            if "{org}" not in path:
                continue
            real = await browser.client.get(filled(path, run_id))
            ghost = await browser.client.get(filled(path, "run_0", "nobody_here"))
            assert real.status_code == ghost.status_code == 403, path
            assert real.text.count("acme") == ghost.text.count("nobody_here"), path
            own = await browser.client.get(filled(path, run_id, "globex"))
            assert own.status_code in (404, 200, 303, 422), path
            if "{run_id}" in path:
                assert own.status_code == 404, path
            walked += 1
        assert walked >= 9

    run_scenario(scenario, orgs=("acme", "globex"))


def test_no_page_of_the_operators_opens_for_an_org(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        org, operator = await Browser.signed_in(api), await Browser.signed_in(api, key=ROOT_KEY)
        pages = [path for path in routes("GET") if path.startswith(("/ui/_all/", "/ui/admin"))]
        assert len(pages) >= 3
        for path in pages:
            assert (await org.client.get(path.replace("{letter_id}", "x"))).status_code == 403, path
            assert (await operator.client.get(path.replace("{letter_id}", "x"))).status_code in (200, 404), path

    run_scenario(scenario)


def test_no_form_of_another_orgs_session_is_taken(run_scenario: RunScenario) -> None:
    """With the token of the own session, so that only the org can be the reason."""

    async def scenario(api: Api) -> None:
        run_id = (await api.run())["run_id"]
        browser = await Browser.signed_in(api, "globex")
        fields = {"csrf": csrf(await browser.get("/ui/globex/pipelines")), "sure": "1"}
        walked = 0
        for path in routes("POST"):
            if "{org}" in path or "_all" in path:
                real = await browser.client.post(filled(path, run_id), data=fields)
                ghost = await browser.client.post(filled(path, "run_0", "nobody_here"), data=fields)
                assert real.status_code == ghost.status_code == 403, path
                assert "another session" not in real.text, path
                walked += 1
        assert walked >= 25

    run_scenario(scenario, orgs=("acme", "globex"))


def test_who_has_not_signed_in_sees_the_form_and_nothing_else(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run_id = (await api.run())["run_id"]
        browser = Browser.of(api)
        for path in routes("GET"):
            if path in ("/ui/sign-in", "/ui/static/{name}"):
                continue
            answer = await browser.client.get(filled(path, run_id))
            assert (answer.status_code, answer.headers["location"][:11]) == (303, "/ui/sign-in"), path

    run_scenario(scenario)


def test_a_key_that_may_only_read_sees_no_buttons_and_no_form_takes_it(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        failed = (await api.ask("POST", "/pipelines/run/acme/shop/broken", org="acme", params={"wait": 20})).json()
        text, _ = await api.at.keys.create("acme", name="reader", scopes=["read"])
        browser = await Browser.signed_in(api, key=text)
        for path in ("pipelines", "pipelines/history", f"runs/{failed['run_id']}"):
            page = await browser.get(f"/ui/acme/{path}")
            assert 'class="btn primary"' not in page
            assert "Run…" not in page
            assert "Replay as it was" not in page
        await browser.get(f"/ui/acme/runs/{failed['run_id']}/replay", 403)
        await browser.send("/ui/acme/pipelines", f"/ui/acme/runs/{failed['run_id']}/replay", {"as_it_was": "1"}, 403)
        await browser.send("/ui/acme/pipelines", "/ui/acme/run/shop/cost/daily", {}, 403)

    run_scenario(scenario)


def test_every_answer_below_ui_has_the_policy(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        run_id = (await api.run())["run_id"]
        browser = await Browser.signed_in(api)
        seen = [
            await browser.client.get(filled(path, run_id)) for path in routes("GET") if not path.endswith("/events")
        ]
        for answer in [*seen, await browser.client.get("/ui/nowhere/at/all"), await browser.client.get("/ui/%00")]:
            if answer.headers.get("content-type", "").startswith("application/x-ndjson"):
                continue
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["x-content-type-options"] == "nosniff"
            static = answer.url.path.startswith("/ui/static/")
            assert ("no-store" in answer.headers["cache-control"]) != static
            if answer.headers.get("content-type", "").startswith("text/html"):
                check(answer.text)

    run_scenario(scenario)


def test_hostile_text_leaves_every_page_intact(run_scenario: RunScenario) -> None:
    async def spoil(api: Api, run_id: str, text: str) -> None:
        """Put the text where an error, a warning and a trigger come from outside."""
        stored = await read_run(api.at.services, run_id)
        assert stored is not None
        error = {"code": text[:100], "message": text, "step_id": None, "at": "2026-11-28T00:00:00.000000Z"}
        run = changed(
            stored.run, error=error, warnings=(text,), trigger=text, created_by=text, parameters={text[:90]: text}
        )
        moves = [*run.transitions, (run.transitions[-1][0], run.status.value, text)]
        await write_run(api.at.services, changed(run, transitions=moves), stored.version)

    async def scenario(api: Api) -> None:

        async def rename(text: str) -> None:
            name = {"name": text[:200]}  # a longer one is refused
            renamed = await api.ask("PATCH", "/organizations/acme", headers={"X-CA-Root-Key": ROOT_KEY}, json=name)
            assert renamed.status_code == 200, renamed.text

        clean = (await api.run())["run_id"]
        broken = (await api.ask("POST", "/pipelines/run/acme/shop/broken", org="acme", params={"wait": 20})).json()[
            "run_id"
        ]
        browser = await Browser.signed_in(api)
        pages = [
            "/ui/acme/pipelines",
            "/ui/acme/pipelines/history",
            f"/ui/acme/runs/{clean}",
            f"/ui/acme/runs/{broken}",
        ]
        pages += [f"/ui/acme/runs/{broken}/replay", "/ui/acme/run/shop/cost/daily", "/ui/acme/settings"]
        expected = {path: check(await browser.get(path)).tags.count("form") for path in pages}
        for text in HOSTILE:
            await rename(text)
            run = await api.run(json={"note": text})
            await spoil(api, clean, text)
            await spoil(api, broken, text)
            for path in [*pages, f"/ui/acme/runs/{run['run_id']}"]:
                found = check(await browser.get(path))
                if path in expected:
                    assert found.tags.count("form") == expected[path], path
            for query in ("/ui/acme/pipelines", f"/ui/acme/runs/{clean}"):
                check(await browser.get(query, params={"q": text[:200], "provider": text[:90], "tab": text[:20]}))
            fields = {"p.note": text, "check": "1", "key": text[:80]}
            answer = await browser.send("/ui/acme/run/shop/cost/daily", "/ui/acme/run/shop/cost/daily", fields, 200)
            check(answer.text)

    run_scenario(scenario)


def test_templates_escape_everything_and_carry_no_style() -> None:
    templates = sorted((FOLDER / "templates").rglob("*.html"))
    assert len(templates) >= 12
    for file in templates:
        text = file.read_text()
        assert not re.search(r"\|\s*safe\b|autoescape|Markup|\bstyle=|<style|\son\w+=|javascript:", text), file.name
        assert len(text.splitlines()) <= 200, file.name
        # Text that folds is a block: a browser ends the paragraph before it.
        assert not re.search(r"<p\b[^>]*>(?:(?!</p>).)*\bfree\(", text), file.name


def test_the_style_sheet_is_small_and_needs_no_other() -> None:
    text = (FOLDER / "static" / "ui.css").read_text()
    assert len(text.splitlines()) <= 300
    assert len(text) < 24_000
    assert "@import" not in text


def test_the_own_script_is_small_and_asks_no_other_site() -> None:
    static = FOLDER / "static"
    script = (static / "ui.js").read_text()
    assert len(script.splitlines()) <= 250
    for file in static.iterdir():
        assert not re.search(r"(?<!xmlns=\")https?://", file.read_text()), file.name
    for name in ("innerHTML", "eval(", "document.write", "insertAdjacentHTML"):
        assert name not in script


def test_the_wheel_includes_templates_and_static_files() -> None:
    root = Path(__file__).parents[4]
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert listed["packages"] == ["shared/convergence"]  # all files below it, templates too
    assert (FOLDER / "templates" / "base.html").is_relative_to(root / "shared" / "convergence")
