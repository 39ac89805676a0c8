"""How an API cuts its answer into pages, and where the next one is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from convergence.errors import StepFailed

Params = Sequence[tuple[str, str]]
Paging = Callable[[Any, Params], Params | None]  # (page, parameters it was asked with) → those of the next page


def cursor_paging(*, param: str = "page", cursor: str = "next_page", more: str = "has_more") -> Paging:
    """Pages that name their successor: `{"has_more": true, "next_page": "abc"}` → `page=abc`."""

    def following(page: Any, params: Params) -> Params | None:
        if not isinstance(page, dict):
            raise StepFailed(f"a page is a {type(page).__name__}, not an object with {more!r} and {cursor!r}")
        if not page.get(more):
            return None
        if not page.get(cursor):
            raise StepFailed(f"a page says {more!r} but names no {cursor!r}: the rest cannot be asked for")
        return [*((name, value) for name, value in params if name != param), (param, str(page[cursor]))]

    return following
