"""Signs of further data in the last answer of a listing: without these checks a run could succeed with missing data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from convergence.processors.generic.api.paths import at_path
from convergence.processors.generic.api.settings import NUMBERED, Pagination
from convergence.processors.http.paging import Answer

# Keys without case and punctuation: `hasMore`, `has_more` and `@odata.nextLink` are common spellings.
_FLAGS: Final = frozenset(
    {"hasmore", "hasnext", "hasnextpage", "morepages", "moreresults", "istruncated", "truncated", "moredataavailable"}
)
_POINTERS: Final = frozenset(
    {
        *("next", "nextpage", "nextpagetoken", "nextpageuri", "nextpageurl", "nextcursor", "nexttoken", "nextlink"),
        *("nexturl", "odatanextlink", "nextmarker", "continuationtoken", "nextoffset"),
    }
)
_ENVELOPES: Final = frozenset(
    {"meta", "metadata", "paging", "pagination", "page", "pageinfo", "links", "responsemetadata", "cursor", "cursors"}
)
_LINK: Final = re.compile(r'rel="?next"?', re.IGNORECASE)


def remainder(answer: Answer, paging: Pagination | None, data_path: str) -> str:
    """Report that a listing's last page names a next one that no rule of `paging` saw; empty if it does not."""
    sign = _sign(answer, data_path)
    if not sign or (paging is not None and _known_to_end(paging, answer)):
        return ""
    if paging is None or paging.type == "none":
        reason = "config.pagination does not ask for it" if paging is not None else "config.pagination is not set"
    else:
        at = f" at {paging.path!r}" if paging.path else ""
        reason = f"config.pagination ({paging.type}) found no next page{at}"
    return f"the answer says that there is more ({sign}), and {reason}: only this much was loaded"


def _known_to_end(paging: Pagination, answer: Answer) -> bool:
    """Whether the listing ended as the file wants it to: by a total, a flag, or a page that was seen before."""
    if paging.type in NUMBERED or paging.more_path:
        return True
    return paging.type != "none" and bool(paging.path) and at_path(answer.data, paging.path) not in (None, "", False)


def _sign(answer: Answer, data_path: str) -> str:
    """Return the part of the answer that indicates more data; an explicit flag takes precedence over a pointer, which
    some APIs send with the last page, too."""
    found = list(_keys(answer.data, data_path)) if isinstance(answer.data, Mapping) else []
    flags = [(name, value) for name, value in found if _plain(name) in _FLAGS and isinstance(value, bool)]
    if flags:
        return next((f"{name!r} is true" for name, value in flags if value), "")
    for name, value in found:
        pointer = value.get("href") if isinstance(value, Mapping) else value
        if _plain(name) in _POINTERS and isinstance(pointer, str | int) and not isinstance(pointer, bool) and pointer:
            return f"it has {name!r}"
    return "its header Link has rel=next" if _LINK.search(answer.headers.get("link", "")) else ""


def _keys(data: Mapping[str, Any], data_path: str) -> Iterator[tuple[str, Any]]:
    """Yield the keys around the records, on each level down to them. An answer that is a record itself has none,
    unless it holds a list."""
    if not data_path and not any(isinstance(value, list) for value in data.values()):
        return
    first, _, rest = data_path.partition(".")
    for name, value in data.items():
        if name == first:
            yield from _keys(value, rest) if rest and isinstance(value, Mapping) else ()
            continue
        yield name, value
        if isinstance(value, Mapping) and _plain(name) in _ENVELOPES:
            yield from value.items()


def _plain(name: str) -> str:
    return re.sub("[^a-z]", "", name.lower())
