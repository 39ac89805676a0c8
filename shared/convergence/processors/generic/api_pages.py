"""From an answer to its records, and to the call for the next page."""

from __future__ import annotations

import re
from typing import Any, Final

import httpx

from convergence.errors import StepFailed, nearest
from convergence.processors.generic.api_settings import ApiSettings, Pagination
from convergence.processors.paging import Answer, Call

_NEXT_LINK: Final = re.compile(r'<([^>]*)>[^,<]*;\s*rel="?next"?', re.IGNORECASE)
_ABSENT: Final = object()


def at_path(value: Any, path: str) -> Any:
    """Return what stands at `a.b.0.c`; `None` where a key is missing on the way."""
    found = _look(value, path)
    return None if found is _ABSENT else found


def _look(value: Any, path: str) -> Any:
    for key in path.split(".") if path else ():
        if isinstance(value, dict):
            value = value.get(key, _ABSENT)
        elif isinstance(value, list) and key.isdigit():
            value = value[int(key)] if int(key) < len(value) else _ABSENT
        else:
            return _ABSENT
        if value is _ABSENT:
            return _ABSENT
    return value


class Pages:
    """One listing: what its answers hold and how they follow each other.

    `short` is the number of a page with fewer rows than a full one: only an empty page may come after it.
    """

    def __init__(self, wanted: ApiSettings, service: str, *, credential_param: str = "", short: int = 0) -> None:
        self._wanted = wanted
        self._service = service
        self._credential_param = credential_param
        self.short = short

    def first(self, since: str | None) -> Call:
        """Return the call for the first page."""
        wanted, url = self._wanted, httpx.URL(self._wanted.address)
        path = url.raw_path.decode("ascii").partition("?")[0]
        call = Call(path, (*url.params.multi_items(), *_texts(wanted.params)), wanted.method, wanted.body)
        paging = wanted.pagination
        if paging is not None and paging.size is not None:
            call = call.having(paging.page_size_param, str(paging.size))
        if wanted.incremental is not None and since:
            call = call.having(wanted.incremental.param, since)
        return call

    def records(self, answer: Answer) -> list[Any]:
        """Return the records of a page.

        Raises `StepFailed` when `data_path` is not there, and for a list whose paging nobody described.
        """
        found = _look(answer.data, self._wanted.data_path)
        where = repr(self._wanted.data_path) if self._wanted.data_path else "the answer"
        if found is _ABSENT:
            if self._wanted.data_optional:
                return []
            known = nearest(where.strip("'"), answer.data) if isinstance(answer.data, dict) else ""
            raise StepFailed(f"{self._service}: the answer has no {where}; config.data_path is wrong.{known}")
        if found is None:
            return []
        if isinstance(found, dict):
            return [found]
        if not isinstance(found, list):
            raise StepFailed(f"{self._service}: {where} holds a {type(found).__name__}, no list of records")
        if self._wanted.pagination is None:
            raise StepFailed(
                f"{self._service}: {where} is a list, and config.pagination does not say how it goes on: without it"
                " only the first page would be loaded. If there is one page only, write pagination: {type: none}."
            )
        return found

    def following(self, answer: Answer, call: Call) -> Call | None:
        """Return the call for the next page; None after the last one."""
        paging = self._wanted.pagination
        if paging is None or paging.type == "none":
            return None
        if paging.type in {"cursor", "next_page_token"}:
            cursor = at_path(answer.data, paging.path)
            return None if cursor in (None, "", False) else call.having(paging.name, str(cursor))
        if paging.type == "link":
            return self._linked(paging, answer, call)
        rows = len(self.records(answer))
        return (
            self._by_page(paging, rows, answer, call)
            if paging.type == "page"
            else self._by_offset(paging, rows, answer, call)
        )

    def _linked(self, paging: Pagination, answer: Answer, call: Call) -> Call | None:
        if paging.path:
            link = at_path(answer.data, paging.path)
        else:
            match = _NEXT_LINK.search(answer.headers.get("link", ""))
            link = match.group(1) if match else None
        if not link:
            return None
        url = httpx.URL(self._wanted.address).join(call.path).join(str(link))
        # Without the credential: the call adds it, and a checkpoint must not hold it.
        params = tuple(pair for pair in url.params.multi_items() if pair[0] != self._credential_param)
        return Call(str(url.copy_with(query=None)), params, call.method, call.body)

    def _by_offset(self, paging: Pagination, rows: int, answer: Answer, call: Call) -> Call | None:
        position = _position(paging, call, 0) + rows
        if self._ended(paging, rows, position - (paging.start or 0), answer):
            return None
        return call.having(paging.name, str(position))

    def _by_page(self, paging: Pagination, rows: int, answer: Answer, call: Call) -> Call | None:
        number = _position(paging, call, 1)
        if rows and self.short:
            raise StepFailed(
                f"{self._service}: page {self.short} has fewer rows than page_size {paging.size}, and yet page {number}"
                " is not empty: a page was cut short"
            )
        if rows and paging.size is not None and rows < paging.size:
            self.short = number
        if self._ended(paging, rows, number, answer):
            return None
        return call.having(paging.name, str(number + 1))

    def _ended(self, paging: Pagination, rows: int, position: int, answer: Answer) -> bool:
        """Whether this was the last page. An empty one before `total_path` is reached is an error."""
        if not paging.total_path:
            return rows == 0
        total = at_path(answer.data, paging.total_path)
        if not isinstance(total, int):
            raise StepFailed(f"{self._service}: {paging.total_path!r} holds {total!r}, no whole number")
        if position >= total:
            return True
        if rows == 0:
            raise StepFailed(f"{self._service}: pages end at {position}, but {paging.total_path!r} says {total}")
        return False


def _position(paging: Pagination, call: Call, default: int) -> int:
    values = call.body if isinstance(call.body, dict) else dict(call.params)
    found = values.get(paging.name)
    return int(found) if found is not None else (default if paging.start is None else paging.start)


def _texts(params: dict[str, Any]) -> list[tuple[str, str]]:
    """Query parameters as text: a list is a repeated name, nothing is left out."""
    pairs = ((name, one) for name, value in params.items() for one in (value if isinstance(value, list) else [value]))
    return [(name, str(one).lower() if isinstance(one, bool) else str(one)) for name, one in pairs if one is not None]
