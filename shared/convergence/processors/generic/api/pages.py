"""Gets from an answer its records, and the call for the next page."""

from __future__ import annotations

import re
from typing import Any, Final

import httpx

from convergence.errors import StepFailed, did_you_mean
from convergence.ports.http.reported_errors import only_tells
from convergence.processors.generic.api.paths import ABSENT, at_path, look
from convergence.processors.generic.api.settings import NUMBERED, ApiSettings, Pagination
from convergence.processors.http.paging import Answer, Call

_NEXT_LINK: Final = re.compile(r'<([^<>]*)>[^,<]*;\s*rel="?next"?', re.IGNORECASE)
EMPTY_MAX: Final = 100  # pages without records in a row


class Pages:
    """One listing: the content and the order of its answers.

    `short` is the number of a page with fewer rows than a full one: only an empty page may come after it.
    """

    def __init__(
        self, options: ApiSettings, service: str, *, credential_param: str = "", short: int = 0, read: int = 0
    ) -> None:
        """`short` and `read` (records of the pages before) let a listing go on in another slice."""
        self._options = options
        self._service = service
        self._credential_param = credential_param
        self.short = short
        self._read = read
        self._empty = 0

    def first(self, since: str | None) -> Call:
        """Return the call for the first page."""
        options, url = self._options, httpx.URL(self._options.address)
        path = url.raw_path.decode("ascii").partition("?")[0]
        call = Call(path, (*url.params.multi_items(), *_texts(options.params)), options.method, options.body)
        paging = options.pagination
        if paging is not None and paging.size is not None:
            call = call.having(paging.page_size_param, str(paging.size))
        if options.incremental is not None and since:
            call = call.having(options.incremental.param, since)
        return call

    def records(self, answer: Answer) -> list[Any]:
        """Return the records of a page; an answer without content has none.

        Raises `StepFailed` when `data_path` is missing or null, and for a list whose paging is not configured.
        """
        if answer.empty:
            return []
        found = look(answer.data, self._options.data_path)
        where = repr(self._options.data_path) if self._options.data_path else "the answer"
        if found in (ABSENT, None) and self._options.data_optional and not only_tells(answer.data):
            return []
        if found is ABSENT:
            known = did_you_mean(where.strip("'"), answer.data) if isinstance(answer.data, dict) else ""
            raise StepFailed(f"{self._service}: the answer has no {where}; config.data_path is wrong.{known}")
        if found is None:
            raise StepFailed(
                f"{self._service}: {where} is null. If that is how the API reports that there are no records, set"
                " config.data_optional: true."
            )
        if isinstance(found, dict):
            return [found]
        if not isinstance(found, list):
            raise StepFailed(f"{self._service}: {where} holds a {type(found).__name__}, not a list of records")
        if self._options.pagination is None:
            raise StepFailed(
                f"{self._service}: {where} is a list, and config.pagination does not say how to get the next page:"
                " without it only the first page would be loaded. If there is only one, write pagination: {type: none}."
            )
        return found

    def following(self, answer: Answer, call: Call) -> Call | None:
        """Return the call for the next page; None after the last one. Called once for each page.

        Raises `StepFailed` when the answer contradicts itself about what comes next.
        """
        paging = self._options.pagination
        if paging is None:
            return None
        rows = len(self.records(answer))
        self._read += rows
        self._empty = 0 if rows else self._empty + 1
        if answer.empty:
            if paging.total_path and self._read:
                raise StepFailed(f"{self._service}: a page has no content before {paging.total_path!r} is reached")
            return None
        more = self._more(paging, answer)
        if more is False:
            return None
        after = self._next(paging, rows, answer, call)
        if more is None and rows == 0 and after is not None and paging.type not in NUMBERED:
            after = self._over_empty(paging, after)
        if more is None and after == call:
            return None  # the same page again, so there is no next one
        if more and after is None:
            raise StepFailed(
                f"{self._service}: {paging.more_path!r} is true, but the answer does not name the next page:"
                " the rest cannot be requested"
            )
        return after

    def _more(self, paging: Pagination, answer: Answer) -> bool | None:
        """Return the value at `more_path`; None if the file does not set it."""
        if not paging.more_path:
            return None
        more = at_path(answer.data, paging.more_path)
        if not isinstance(more, bool):
            raise StepFailed(
                f"{self._service}: pagination.more_path: {paging.more_path!r} is {more!r}, but must be true or false"
                " on every page"
            )
        return more

    def _over_empty(self, paging: Pagination, after: Call) -> Call | None:
        if paging.ends_empty:
            return None
        if paging.empty_page is None and self._empty >= EMPTY_MAX:
            raise StepFailed(
                f"{self._service}: {EMPTY_MAX} pages in a row have no records, and each names a next one. Set"
                " pagination.more_path, or pagination.empty_page: ends (or goes_on)."
            )
        return after

    def _next(self, paging: Pagination, rows: int, answer: Answer, call: Call) -> Call | None:
        match paging.type:
            case "cursor" | "next_page_token":
                cursor = at_path(answer.data, paging.path)
                return None if cursor in (None, "", False) else call.having(paging.name, str(cursor))
            case "link":
                return self._linked(paging, answer, call)
            case "page":
                return self._by_page(paging, rows, answer, call)
            case "offset":
                return self._by_offset(paging, rows, answer, call)
            case "none":
                return None

    def _linked(self, paging: Pagination, answer: Answer, call: Call) -> Call | None:
        if paging.path:
            link = at_path(answer.data, paging.path)
        else:
            match = _NEXT_LINK.search(answer.headers.get("link", ""))
            link = match.group(1) if match else None
        if not link:
            return None
        url = httpx.URL(self._options.address).join(call.path).join(str(link))
        # Without the credential: the call adds it, and a checkpoint must not hold it.
        params = tuple(pair for pair in url.params.multi_items() if pair[0] != self._credential_param)
        return Call(str(url.copy_with(query=None)), params, call.method, call.body)

    def _by_offset(self, paging: Pagination, rows: int, answer: Answer, call: Call) -> Call | None:
        start = paging.start or 0
        position = _position(paging, call, start) + rows
        if self._ended(paging, rows, position - start, answer):
            return None
        return call.having(paging.name, str(position))

    def _by_page(self, paging: Pagination, rows: int, answer: Answer, call: Call) -> Call | None:
        first = 1 if paging.start is None else paging.start
        number = _position(paging, call, first)
        if rows and self.short:
            raise StepFailed(
                f"{self._service}: page {self.short} has fewer rows than page_size {paging.size}, and yet page {number}"
                " is not empty: a page was cut short"
            )
        if rows and paging.size is not None and rows < paging.size:
            self.short = number
        if self._ended(paging, rows, number - first + 1 if paging.counts_pages else self._read, answer):
            return None
        return call.having(paging.name, str(number + 1))

    def _ended(self, paging: Pagination, rows: int, position: int, answer: Answer) -> bool:
        """Whether this was the last page. An empty one before `total_path` is reached is an error."""
        if not paging.total_path:
            return rows == 0
        total = at_path(answer.data, paging.total_path)
        if not isinstance(total, int) or isinstance(total, bool):
            raise StepFailed(f"{self._service}: {paging.total_path!r} holds {total!r}, not a whole number")
        if position >= total:
            return True
        if rows == 0:
            counted = "pages" if paging.counts_pages else "rows"
            raise StepFailed(
                f"{self._service}: pages end at {position}, but {paging.total_path!r} is {total} {counted}; see"
                " pagination.total_counts"
            )
        return False


def _position(paging: Pagination, call: Call, first: int) -> int:
    values = call.body if isinstance(call.body, dict) else dict(call.params)
    found = values.get(paging.name)
    return first if found is None else int(found)


def _texts(params: dict[str, Any]) -> list[tuple[str, str]]:
    """Query parameters as text: a list is a repeated name, nothing is left out."""
    pairs = ((name, one) for name, value in params.items() for one in (value if isinstance(value, list) else [value]))
    return [(name, str(one).lower() if isinstance(one, bool) else str(one)) for name, one in pairs if one is not None]
