"""Bad answers to `generic.api_extractor`, over HTTP and through the engine: never a green run with less data.

Each case runs twice: on a good day, which loads five rows, and on the bad one, which has to leave these as they are.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.domain.run import Run
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.ports.warehouse import Scope, Statement
from convergence.sandbox.http import HttpServer, Request, Response
from tests.bench import engine

PIPELINE = """
pipeline_id: "{{org_slug}}-acme-usage-things"
steps:
  - step_id: extract_things
    ps_type: generic.api_extractor
    retry: {{max_attempts: 2, backoff_seconds: 0}}
    config:
      url: "{url}/things"
      data_path: data
      pagination: {{type: cursor, param: after, response_path: next}}
      rate_limit: {{max_retries: 0}}
      answer_mib_max: 1
      allow_private_addresses: true
    destination: {{table: acme_things_daily_raw}}
"""
PAGES: dict[str, Any] = {
    "": {"data": [{"id": 1}, {"id": 2}], "next": "a"},
    "a": {"data": [{"id": 3}, {"id": 4}], "next": "b"},
    "b": {"data": [{"id": 5}], "next": None},
}
Change = Callable[[str, int], Response | None]  # (cursor, how often it was asked for) → another answer


def page(cursor: str, **changes: Any) -> Response:
    return Response(200, json.dumps({**PAGES[cursor], **changes}).encode())


def second(response: Response) -> Change:
    """The second page is answered so, always."""
    return lambda cursor, _: response if cursor == "a" else None


def once(response: Response) -> Change:
    """The second page is answered so the first time."""
    return lambda cursor, asked: response if cursor == "a" and asked == 1 else None


async def good_then_bad(folder: Path, change: Change) -> tuple[Run, list[int]]:
    """Return the bad day's run, and the ids in the table after it."""
    counts: dict[str, int] = {}
    bad_day = False

    def handler(request: Request) -> Response:
        cursor = dict(request.query).get("after", "")
        counts[cursor] = counts.get(cursor, 0) + bad_day
        return (change(cursor, counts[cursor]) if bad_day else None) or page(cursor)

    server = HttpServer(handler)
    root = engine.configs(folder)
    place = root / "acme" / "usage"
    (place / "schemas").mkdir(parents=True)
    (place / "schemas" / "acme_things_daily_raw.json").write_text(json.dumps([{"name": "id", "type": "INT64"}]))
    (place / "things.yml").write_text(PIPELINE.format(url=await server.start()))
    try:
        async with embedded(EmbeddedOptions(data_dir=folder / "data", configs_dir=root), "test") as opened:
            await engine.found(opened)
            await opened.worker.start()
            for bad_day in (False, True):  # noqa: B007 - the handler looks at it
                run = await dispatch(opened.services, RunRequest(org="org0", pipeline="acme/usage/things"))
                ended = await opened.worker.wait("org0", run.run_id)
            sql = "SELECT id FROM acme_things_daily_raw ORDER BY id"
            found = await opened.services.warehouse.query(Statement(sql, scope=Scope(dataset="org0_dev")))
            return ended, [row["id"] for row in found.rows]
    finally:
        await server.stop()


FINAL = {
    "a truncated page": (second(Response(200, b'{"data": [{"id": 3}')), "broken JSON"),
    "a page cut in its middle": (second(Response(200, page("a").body, cut=True)), "cannot be reached"),
    "HTML": (second(Response(200, b"<html>", content_type="text/html")), "instead of JSON"),
    "an error under 200": (second(Response(200, b'{"error": {"message": "quota"}}')), "200 with an error: quota"),
    "a gzip bomb": (
        second(Response(200, gzip.compress(b" " * 3_000_000), {"content-encoding": "gzip"})),
        "more than 1 MiB",
    ),
    "cursors in a circle": (
        lambda cursor, asked: page("a", data=[{"id": 10 * asked + len(cursor)}], next={"a": "bb", "bb": "a"}[cursor])
        if cursor
        else None,
        "repeats its cursor",
    ),
    "an error envelope": (
        second(Response(200, b'{"success": false, "errors": [{"message": "quota"}], "data": null, "next": null}')),
        "200 with an error: quota",
    ),
    "null instead of a list": (second(page("a", data=None)), "'data' is null.*data_optional"),
    "a changed type": (second(page("a", data=[{"id": "many"}])), "id"),
    "a duplicate page": (second(page("", next="b")), "same records as an earlier page"),
    "a missing list": (second(Response(200, b'{"items": [], "next": "b"}')), "has no 'data'"),
    "a refusal": (second(Response(401)), "401"),
    "a code and a message": (second(page("a", data=[], code=50011, msg="Too many things")), "200 with an error"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FINAL)
def test_a_bad_answer_fails_the_run_and_leaves_the_table_as_it_was(tmp_path: Path, fault: str) -> None:
    change, message = FINAL[fault]
    run, ids = asyncio.run(good_then_bad(tmp_path, change))
    assert run.status == "failed"
    assert run.error is not None
    assert re.search(message, run.error["message"]), run.error
    assert ids == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "response",
    [Response(200, b'{"data": [{"id": 3}'), Response(200, page("a").body, cut=True), Response(503), Response(429)],
)
def test_trouble_that_passes_costs_no_row(tmp_path: Path, response: Response) -> None:
    run, ids = asyncio.run(good_then_bad(tmp_path, once(response)))
    assert run.status == "completed", run.error
    assert ids == [1, 2, 3, 4, 5]


QUARANTINING = PIPELINE.replace("data_path: data", "data_path: data\n      on_bad_row: quarantine")


def all_bad(cursor: str, _: int) -> Response:
    return page(cursor, data=[{"id": f"{cursor}oops"}])


def test_a_day_whose_records_are_all_set_aside_keeps_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PIPELINE", QUARANTINING)
    run, ids = asyncio.run(good_then_bad(tmp_path, all_bad))
    assert run.status == "failed"
    assert "none of the 3 records fits" in str(run.error)
    assert ids == [1, 2, 3, 4, 5]


def test_records_that_are_set_aside_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PIPELINE", QUARANTINING)
    run, ids = asyncio.run(good_then_bad(tmp_path, second(page("a", data=[{"id": "oops"}, {"id": 4}]))))
    assert run.status == "completed", run.error
    assert "1 of 5 records are set aside" in " ".join(run.warnings)
    assert ids == [1, 2, 4, 5]
