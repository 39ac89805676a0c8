"""Dead letters: the payload's editor, one letter, all of a cause, messages, and replays of many."""

from __future__ import annotations

import html
import re
import time

import orjson
import pytest

from convergence.engine.dead_letter import keep_unreadable
from convergence.engine.dead_letters.replays import replays_of
from convergence.entry.ui.views.payloads import PAYLOAD_MAX, changes_of, difference
from convergence.errors import InvalidInput
from convergence.ports.bus import DISPATCH, Delivery, Message
from tests.unit.entry.ui.conftest import ROOT_KEY, Api, Browser, RunScenario, csrf
from tests.unit.entry.ui.page_shape import HOSTILE, check

PAGE = "/ui/acme/dead-letters"
CAUSE = {"code": "step.failed", "pipeline": "shop/broken", "step": "load_plans"}
EDITOR = f"{PAGE}/payload?code=step.failed&pipeline=shop/broken&step=load_plans"
GOOD = "openai/seed/subscription_plans.csv"


async def failing(api: Api, count: int) -> list[str]:
    """Runs that failed, the first one first."""
    return [(await api.run("shop/broken"))["run_id"] for _ in range(count)]


def payload_of(page: str) -> dict[str, object]:
    """What the editor has."""
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
    assert found is not None
    data: dict[str, object] = orjson.loads(html.unescape(found[1]))
    return data


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ('{"a": 1, "b": "x"}', {}),
        ('{"b": "x", "a": 1}', {}),
        ('{"a": true, "b": "x"}', {"a": True}),  # equal to 1 in Python
        ('{"a": 1, "b": "y", "c": null}', {"b": "y", "c": None}),
    ],
)
def test_changes_are_what_differs_as_json(text: str, changes: dict[str, object]) -> None:
    assert changes_of({"a": 1, "b": "x"}, text) == changes


@pytest.mark.parametrize("text", ["", "{", "[]", '"a"', '{"a": 1}', "x" * (PAYLOAD_MAX + 1)])
def test_a_payload_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        changes_of({"a": 1, "b": "x"}, text)


def test_a_difference_has_the_lines_of_one_side_only() -> None:
    before = {"same": 1, "day": "2026-11-01", "regions": ["a", "b", "c"]}
    changes = {"day": "2026-11-02", "regions": ["a", "x", "y", "c"], "added": True}
    assert [(line.side, line.text.strip()) for line in difference(before, changes)] == [
        ("before", '"day": "2026-11-01"'),
        ("after", '"day": "2026-11-02"'),
        ("before", '"b",'),
        ("after", '"x",'),
        ("after", '"y",'),
        ("after", '"added": true'),
    ]


def test_a_long_payload_is_compared_in_linear_time() -> None:
    """Within what a form may send; a comparison of similar lines took minutes, and stopped the server."""
    before, after = ([f"{letter}{number:04}" for number in range(1_500)] for letter in "ab")
    begun = time.process_time()
    assert len(difference({"list": before}, {"list": after})) == 3_000
    assert time.process_time() - begun < 1


def test_an_edited_payload_is_checked_compared_and_replayed_once(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        runs = await failing(api, 3)
        browser = await Browser.signed_in(api)
        assert "The replay of the first: Does 1 step again and replaces 1 slice." in await browser.get(PAGE)
        shown = await browser.get(EDITOR)
        before = payload_of(shown)
        assert before["file"] == "openai/seed/missing.csv"
        assert "All: 3 runs, about 3 steps again, about 3 slices" in shown
        wrong = orjson.dumps({**before, "fiel": GOOD}).decode()
        refused = await browser.send(EDITOR, f"{PAGE}/payload", {**CAUSE, "payload": wrong, "act": "one"}, 422)
        assert "Did you mean &#39;file&#39;?" in refused.text
        edited = orjson.dumps({**before, "file": GOOD}).decode()
        checked = await browser.send(EDITOR, f"{PAGE}/payload", {**CAUSE, "payload": edited, "act": "check"}, 200)
        assert "Changed, 1 parameter<" in checked.text
        assert f"<ins>  &#34;file&#34;: &#34;{GOOD}&#34;" in checked.text
        stored = [(await api.ask("GET", f"/pipelines/status/acme/{run}", org="acme")).json() for run in runs]
        assert [run["epoch"] for run in stored] == [0, 0, 0]
        letter = f"{runs[-1]}.load_plans.0"
        fields = {**CAUSE, "payload": edited, "act": "one", "letter": letter}
        started = await browser.send(EDITOR, f"{PAGE}/payload", fields)
        assert started.headers["location"] == f"/ui/acme/runs/{runs[-1]}"
        ended = await api.at.wait("acme", runs[-1], 20)
        assert (ended.status, ended.parameters["file"]) == ("completed", GOOD)

    run_scenario(scenario)


def test_all_of_a_cause_are_replayed_with_the_edit_one_first(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        await failing(api, 2)
        browser = await Browser.signed_in(api)
        edited = orjson.dumps({**payload_of(await browser.get(EDITOR)), "file": GOOD}).decode()
        await browser.send(EDITOR, f"{PAGE}/payload", {**CAUSE, "payload": edited, "act": "all"})
        (replay,) = await replays_of(api.at.services, "acme")
        assert (dict(replay.parameters), replay.total, len(replay.window)) == ({"file": GOOD}, 2, 1)
        await browser.send(PAGE, f"{PAGE}/replays/{replay.replay_id}/pause", {})
        assert f"Resume {replay.replay_id}" in await browser.get(PAGE)
        await browser.send(PAGE, f"{PAGE}/replays/{replay.replay_id}/resume", {})
        await browser.send(PAGE, f"{PAGE}/replays/{replay.replay_id}/explode", {}, 404)
        first = next(iter(replay.window.values())).run_id
        ended = await api.at.wait("acme", first, 20)
        assert (ended.status, ended.parameters["file"]) == ("completed", GOOD)
        await browser.send(PAGE, f"{PAGE}/replays/{replay.replay_id}/cancel", {})
        assert "Cancelled" in await browser.get(PAGE)

    run_scenario(scenario)


@pytest.mark.parametrize("act", ["one", "all"])
def test_odd_days_of_a_payload_are_asked_about(run_scenario: RunScenario, act: str) -> None:
    async def scenario(api: Api) -> None:
        runs = await failing(api, 2)
        browser = await Browser.signed_in(api)
        days = {"start_date": "1800-01-01", "end_date": "2999-12-31"}
        edited = orjson.dumps({**payload_of(await browser.get(EDITOR)), "file": GOOD, **days}).decode()
        fields = {**CAUSE, "payload": edited, "act": act, "letter": f"{runs[-1]}.load_plans.0"}
        asked = await browser.send(EDITOR, f"{PAGE}/payload", fields, 422)
        assert "These days are intended" in asked.text
        assert payload_of(asked.text)["start_date"] == "1800-01-01"
        stored = [(await api.ask("GET", f"/pipelines/status/acme/{run}", org="acme")).json() for run in runs]
        assert [run["epoch"] for run in stored] == [0, 0]
        assert await replays_of(api.at.services, "acme") == []
        await browser.send(EDITOR, f"{PAGE}/payload", {**fields, "force": "1"})

    run_scenario(scenario)


def test_another_orgs_letters_and_replays_are_out_of_reach(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        (run,) = await failing(api, 1)
        letter = f"{run}.load_plans.0"
        other = await Browser.signed_in(api, org="globex")
        page = "/ui/globex/dead-letters"
        await other.get(f"{page}/letter/{letter}", 404)
        await other.get(EDITOR.replace("acme", "globex"), 404)
        assert "No dead letter of this cause is open" in await other.get(f"{page}/cause?code=step.failed")
        await other.send(page, f"{page}/letter/{letter}/discard", {"reason": "mine now"}, 404)
        fields = {**CAUSE, "payload": "{}", "act": "one", "letter": letter}
        await other.send(page, f"{page}/payload", fields, 404)
        await other.send(page, f"{PAGE}/letter/{letter}/discard", {"reason": "mine now"}, 403)

    run_scenario(scenario, orgs=("acme", "globex"))


def test_a_letter_is_shown_and_discarded_with_its_reason(run_scenario: RunScenario) -> None:
    async def scenario(api: Api) -> None:
        (run,) = await failing(api, 1)
        browser = await Browser.signed_in(api)
        page = f"{PAGE}/letter/{run}.load_plans.0"
        shown = await browser.get(page)
        assert "convergence.processors.openai.seed_csv:" in shown
        assert "openai/seed/missing.csv" in shown
        await browser.send(page, f"{page}/discard", {"reason": " "}, 422)
        await browser.send(page, f"{page}/discard", {"reason": "never had that day"})
        shown = await browser.get(page)
        assert "Discarded:" in shown
        assert "never had that day" in shown
        assert "Discard it" not in shown

    run_scenario(scenario)


@pytest.mark.parametrize("text", HOSTILE, ids=["script", "attribute", "direction", "long"])
def test_a_message_is_the_operators_to_read_and_to_send_again(run_scenario: RunScenario, text: str) -> None:
    async def scenario(api: Api) -> None:
        data = orjson.dumps({"org_slug": "acme", "pipeline": text})
        delivery = Delivery(Message(data, {"kind": "dispatch", "org": "acme"}), "m1", 1, DISPATCH)
        await keep_unreadable(api.at.services, delivery, text)
        (document,) = (await api.at.services.documents.query("dead_letters")).documents
        page = f"{PAGE}/letter/{document.path.rpartition('/')[2]}"
        org, operator = await Browser.signed_in(api), await Browser.signed_in(api, key=ROOT_KEY)
        reachable = (await org.client.get(page)).status_code
        assert reachable in (200, 404)  # whether a message belongs to an org is its sender's word
        for path in (PAGE, page.replace("/ui/acme/", "/ui/_all/")):
            check(await operator.get(path))
        admin = page.replace("/ui/acme/", "/ui/_all/")
        await org.get(admin, 403)
        await operator.send("/ui/admin", f"{admin}/send", {})
        assert "Sent:" in await operator.get(admin)

    run_scenario(scenario)


def test_the_editor_replays_no_dead_letter_but_the_one_that_was_checked(run_scenario: RunScenario) -> None:
    """The cause of the form is one that the org may replay; the dead letter beside it is an operator's."""

    async def scenario(api: Api) -> None:
        root = {"X-CA-Root-Key": ROOT_KEY}
        path = "/pipelines/run/acme/shop/operator_broken"
        operators = (await api.ask("POST", path, headers=root, params={"wait": 20})).json()["run_id"]
        await api.run("shop/broken")
        browser = await Browser.signed_in(api)
        shown = await browser.get(EDITOR)
        edited = orjson.dumps(payload_of(shown)).decode()
        form = {"csrf": csrf(shown), **CAUSE, "payload": edited, "act": "one"}
        answer = await browser.client.post(f"{PAGE}/payload", data=form | {"letter": f"{operators}.load_plans.0"})
        assert answer.status_code == 409
        assert (await api.at.wait("acme", operators, 20)).epoch == 0

    run_scenario(scenario)
