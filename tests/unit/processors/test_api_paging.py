"""Paging of `generic.api_extractor` always ends: with every row, or with an error that says why."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.processors.generic.api.settings import ApiSettings, Pagination
from convergence.processors.settings import settings
from convergence.sandbox.http import Request, Response
from tests.unit.processors.extraction import Handler, World, answer, failing, things

CURSOR = {"type": "cursor", "param": "after", "response_path": "next"}
TOKEN = {**CURSOR, "type": "next_page_token"}
LINK = {"type": "link", "response_path": "next"}
KINDS = {"cursor": CURSOR, "token": TOKEN, "link": LINK}


def fresh(pages: int, **last: Any) -> Handler:
    """So many pages of one thing; behind them empty ones. Each names a next page that was never named before."""
    numbers = count(1)

    def handler(request: Request) -> Response:
        number = next(numbers)
        more = {} if number <= pages else last
        rows = things(number, number) if number <= pages else []
        return answer({"data": rows, "next": f"/things?after=c{number}", "has_more": number <= pages, **more})

    return handler


def ids(tmp_path: Path, handler: Handler, pagination: Mapping[str, Any]) -> tuple[list[int], int]:
    """Return the loaded ids, and how many calls were made."""
    world = World(tmp_path, handler)
    _, rows = world.run({"pagination": pagination})
    return [row["id"] for row in rows], len(world.requests)


@pytest.mark.parametrize("kind", KINDS)
def test_more_path_ends_a_listing_whose_cursors_never_end(tmp_path: Path, kind: str) -> None:
    assert ids(tmp_path, fresh(3), {**KINDS[kind], "more_path": "has_more"}) == ([1, 2, 3], 4)


@pytest.mark.parametrize("pagination", [CURSOR, {**TOKEN, "empty_page": "ends"}, {**LINK, "empty_page": "ends"}])
def test_an_empty_page_ends_a_listing_whose_cursors_never_end(tmp_path: Path, pagination: dict[str, str]) -> None:
    assert ids(tmp_path, fresh(3), pagination) == ([1, 2, 3], 4)


@pytest.mark.parametrize("kind", ["token", "link"])
def test_empty_pages_without_an_end_are_an_error_where_they_are_allowed(tmp_path: Path, kind: str) -> None:
    assert "100 pages in a row have no records" in failing(tmp_path, fresh(3), {"pagination": KINDS[kind]})


@pytest.mark.parametrize(
    "pagination", [TOKEN, LINK, {**CURSOR, "empty_page": "goes_on"}, {**CURSOR, "more_path": "has_more"}]
)
def test_rows_behind_an_empty_page_are_not_lost(tmp_path: Path, pagination: dict[str, str]) -> None:
    pages = {None: ([1], "a"), "a": ([], "b"), "b": ([2], None)}

    def handler(request: Request) -> Response:
        rows, after = pages[dict(request.query).get("after")]
        following = after and (f"/things?after={after}" if pagination["type"] == "link" else after)
        return answer({"data": [{"id": n} for n in rows], "next": following, "has_more": after is not None})

    assert ids(tmp_path, handler, pagination) == ([1, 2], 3)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unchanged_cursor_ends_the_listing(tmp_path: Path, kind: str) -> None:
    def handler(request: Request) -> Response:
        number = 2 if dict(request.query).get("after") else 1
        return answer({"data": things(number, number), "next": "/things?after=same"})

    assert ids(tmp_path, handler, KINDS[kind]) == ([1, 2], 2)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unchanged_cursor_with_more_to_come_is_an_error(tmp_path: Path, kind: str) -> None:
    numbers = count(1)

    def handler(_: Request) -> Response:
        return answer({"data": things(n := next(numbers), n), "next": "/things?after=same", "has_more": True})

    message = failing(tmp_path, handler, {"pagination": {**KINDS[kind], "more_path": "has_more"}})
    assert "repeats its cursor" in message


@pytest.mark.parametrize("pagination", [*KINDS.values(), {"type": "page"}, {"type": "offset"}])
def test_a_listing_without_an_end_is_an_error_and_loads_nothing(tmp_path: Path, pagination: dict[str, str]) -> None:
    message = failing(tmp_path, fresh(10**9), {"pagination": {**pagination, "max_pages": 5}})
    assert "more than 5 pages" in message
    assert ids(tmp_path, fresh(4), {**pagination, "max_pages": 5, "more_path": "has_more"})[0] == [1, 2, 3, 4]


def test_a_page_that_has_more_and_names_no_next_one_is_an_error(tmp_path: Path) -> None:
    def handler(_: Request) -> Response:
        return answer({"data": things(1, 1), "next": None, "has_more": True})

    for pagination in (*KINDS.values(), {"type": "none"}):
        message = failing(tmp_path, handler, {"pagination": {**pagination, "more_path": "has_more"}})
        assert "does not name the next page" in message


@pytest.mark.parametrize("given", [{}, {"has_more": None}, {"has_more": "no"}])
def test_more_path_must_be_on_every_page(tmp_path: Path, given: dict[str, Any]) -> None:
    message = failing(
        tmp_path, lambda _: answer({"data": things(1, 1), **given}), {"pagination": {**CURSOR, "more_path": "has_more"}}
    )
    assert "must be true or false" in message


def numbered(rows: int, size: int, **fields: Any) -> Handler:
    def handler(request: Request) -> Response:
        page = int(dict(request.query).get("page", fields.get("start", 1))) - fields.get("start", 1)
        return answer({"data": things(1, rows)[page * size :][:size], "pages": -(-rows // size), "rows": rows})

    return handler


@pytest.mark.parametrize(
    ("pagination", "start"),
    [
        ({"total_path": "pages"}, 1),
        ({"total_path": "pages", "total_counts": "pages"}, 1),
        ({"total_path": "rows", "total_counts": "rows"}, 1),
        ({"total_path": "pages", "start": 0, "param": "page"}, 0),
        ({"total_path": "rows", "total_counts": "rows", "start": 0}, 0),
    ],
)
def test_the_total_counts_pages_or_rows_as_the_file_says(
    tmp_path: Path, pagination: dict[str, Any], start: int
) -> None:
    found = ids(tmp_path, numbered(7, 3, start=start), {"type": "page", **pagination})
    assert found == ([1, 2, 3, 4, 5, 6, 7], 3)


def test_a_total_of_rows_that_is_read_as_pages_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    message = failing(tmp_path, numbered(7, 3), {"pagination": {"type": "page", "total_path": "rows"}})
    assert "is 7 pages; see pagination.total_counts" in message


@pytest.mark.parametrize(
    ("pagination", "message"),
    [
        ({"type": "cursor", "total_path": "total"}, "types offset and page"),
        ({"type": "offset", "total_counts": "pages"}, "an offset counts rows"),
    ],
)
def test_totals_that_make_no_sense_are_refused(pagination: dict[str, str], message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        settings(ApiSettings, {"config": {"url": "https://a.example", "pagination": pagination}})


def test_an_answer_without_content_is_an_empty_page(tmp_path: Path) -> None:
    for pagination in (*KINDS.values(), {"type": "page"}, {"type": "offset", "total_path": "total"}, {"type": "none"}):
        assert ids(tmp_path, lambda _: Response(204), pagination) == ([], 1)


def test_no_content_before_the_promised_total_is_an_error(tmp_path: Path) -> None:
    def handler(request: Request) -> Response:
        return Response(204) if "offset" in dict(request.query) else answer({"data": things(1, 2), "total": 5})

    message = failing(tmp_path, handler, {"pagination": {"type": "offset", "total_path": "total"}})
    assert "no content before 'total'" in message


ENVELOPES = [
    ({"success": False, "errors": [{"code": 7, "message": "no such zone"}], "data": None}, "no such zone"),
    ({"data": None, "errors": [{"message": "field 'x' is unknown"}]}, "field 'x' is unknown"),
    ({"data": [{"id": 1}], "errors": [{"message": "shard 3 timed out"}]}, "shard 3 timed out"),
    ({"data": [], "success": False, "message": "busy"}, "busy"),
    ({"ok": False, "error": "not_authed", "data": []}, "not_authed"),
    ({"status": "error", "message": "bad window", "data": []}, "bad window"),
    ({"data": [], "errors": "closed"}, "closed"),
]


@pytest.mark.parametrize(("body", "message"), ENVELOPES)
def test_an_error_envelope_is_final_with_the_providers_message(tmp_path: Path, body: Any, message: str) -> None:
    found = failing(tmp_path, lambda _: answer(body), {"data_optional": True})
    assert found.startswith("StepFailed")
    assert message in found


def test_an_error_beside_the_records_deep_in_the_answer_is_found(tmp_path: Path) -> None:
    body = {"data": {"usage": {"rows": None, "errors": [{"message": "not allowed"}]}}}
    assert "not allowed" in failing(tmp_path, lambda _: answer(body), {"data_path": "data.usage.rows"})


@pytest.mark.parametrize("body", [{"errors": [{"id": 1}]}, {"errors": {"rows": [{"id": 1}]}}])
def test_what_data_path_names_is_data_even_if_it_is_called_errors(tmp_path: Path, body: Any) -> None:
    path = "errors" if isinstance(body["errors"], list) else "errors.rows"
    _, rows = World(tmp_path, lambda _: answer(body)).run({"data_path": path, "pagination": {"type": "none"}})
    assert len(rows) == 1


@pytest.mark.parametrize("extra", [{"errors": []}, {"errors": 3}, {"success": True}, {"error": None}, {"status": "ok"}])
def test_what_is_beside_the_records_of_a_good_answer_is_not_an_error(tmp_path: Path, extra: Any) -> None:
    _, rows = World(tmp_path, lambda _: answer({"data": things(1, 1), **extra})).run({"pagination": {"type": "none"}})
    assert len(rows) == 1


@pytest.mark.parametrize(("body", "path"), [({"data": None}, "data"), ({"data": None}, "data.items"), ({}, "data")])
def test_nothing_at_data_path_is_an_empty_page_only_where_the_file_says_so(
    tmp_path: Path, body: Any, path: str
) -> None:
    assert "StepFailed" in failing(tmp_path, lambda _: answer(body), {"data_path": path})
    config = {"data_path": path, "data_optional": True, "pagination": {"type": "none"}}
    assert World(tmp_path, lambda _: answer(body)).run(config)[1] == []


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"param": "pageToken"}, "next_page_token"),
        ({"token_param": "page_token", "response_path": "next"}, "next_page_token"),
        ({"response_path": "nextPageToken"}, "next_page_token"),
        ({"param": "after", "response_path": "meta.next"}, "cursor"),
        ({"param": "offset", "limit": 100}, "offset"),
        ({"param": "page", "page_size": 50}, "page"),
    ],
)
def test_a_type_that_the_keys_make_plain_may_be_left_out(given: dict[str, Any], kind: str) -> None:
    assert Pagination.model_validate(given).type == kind


def test_without_a_type_a_misspelt_key_is_named() -> None:
    with pytest.raises(ValueError, match=r"pagse_size\n(?!.*fit several)"):
        Pagination.model_validate({"pagse_size": 50})


@pytest.mark.parametrize("given", [{"response_path": "links.next"}, {"page_size": 50}, {}])
def test_a_type_that_several_fit_must_be_written(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="type is missing, and the other keys fit several"):
        Pagination.model_validate(given)
