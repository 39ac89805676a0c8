"""A listing that ends although the answer names a next page: the run is done, and it says so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.unit.processors.extraction import World, answer, things

NONE: Final = {"type": "none"}
CURSOR: Final = {"type": "cursor", "param": "after", "response_path": "next_cursr"}
MORE: Final[dict[str, tuple[dict[str, Any], dict[str, Any], str]]] = {
    "a flag": (NONE, {"has_more": True}, "'has_more' is true"),
    "a flag below": (NONE, {"meta": {"hasNextPage": True}}, "'hasNextPage' is true"),
    "a token": (NONE, {"nextPageToken": "abc"}, "it has 'nextPageToken'"),
    "a link": (NONE, {"_links": {"next": {"href": "/things?page=2"}}}, "it has 'next'"),
    "a link of OData": (NONE, {"@odata.nextLink": "https://x.example/2"}, "it has '@odata.nextLink'"),
    "a number": (NONE, {"pagination": {"next_page": 2}}, "it has 'next_page'"),
    "a path with a slip": (CURSOR, {"next_cursor": "abc"}, "config.pagination (cursor) found no next page at 'next_cu"),
    "a flag beside a path with a slip": (CURSOR, {"has_more": True}, "'has_more' is true"),
    "a link without its header": ({"type": "link"}, {"next": "/things?page=2"}, "(link) found no next page: only"),
}
DONE: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "nothing": (NONE, {}),
    "no next page": (NONE, {"has_more": False, "next": "/things?page=1"}),
    "empty signs": (NONE, {"next": None, "next_page_token": "", "meta": {"more": False}}),
    "a flag that ended it": ({**CURSOR, "more_path": "has_more"}, {"has_more": False, "next_cursr": "x"}),
    "a total that ended it": ({"type": "page", "total_path": "pages"}, {"pages": 1, "next": "/things?page=2"}),
}  # fmt: skip


def warnings(tmp_path: Path, paging: Mapping[str, Any], around: Mapping[str, Any]) -> list[str]:
    """Return what a run of one page of two things warns of."""
    world = World(tmp_path, lambda _: answer({"data": things(1, 2), **around}))
    result, rows = world.run({"pagination": paging})
    assert len(rows) == 2
    found: list[str] = result["warnings"]
    return found


@pytest.mark.parametrize("name", list(MORE))
def test_an_answer_that_has_more_is_warned_of(tmp_path: Path, name: str) -> None:
    paging, around, said = MORE[name]
    [warning] = warnings(tmp_path, paging, around)
    assert said in warning
    assert "there is more" in warning
    assert warning.endswith("only this much was loaded")


@pytest.mark.parametrize("name", list(DONE))
def test_an_answer_that_is_complete_is_not(tmp_path: Path, name: str) -> None:
    assert warnings(tmp_path, *DONE[name]) == []


def test_a_header_names_the_next_page_too(tmp_path: Path) -> None:
    link = '</things?page=2>; rel="next"'
    world = World(tmp_path, lambda _: answer({"data": things(1, 2)}, 200, link=link))
    [warning] = world.run({"pagination": NONE})[0]["warnings"]
    assert "its header Link has rel=next" in warning


def test_what_is_around_nested_records_counts(tmp_path: Path) -> None:
    around = {"data": {"things": {"nodes": things(1, 2), "pageInfo": {"hasNextPage": True}}}}
    world = World(tmp_path, lambda _: answer(around))
    [warning] = world.run({"pagination": NONE, "data_path": "data.things.nodes"})[0]["warnings"]
    assert "'hasNextPage' is true" in warning


def test_records_are_no_signs(tmp_path: Path) -> None:
    """A record may have a field of such a name: only what is around the records speaks of pages."""
    rows = [{"id": 1, "next": 2, "has_more": True}]
    world = World(tmp_path, lambda _: answer({"data": rows, "page": {"size": 1}}))
    assert world.run({"pagination": NONE}, transform={"unknown_fields": "drop"})[0]["warnings"] == []
