"""Answers that went wrong on the way or at the source: every kind of bad input that an extraction must not swallow.

A fault takes a request and its good answer and returns a bad one. `Plan` selects the answers that it hits.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import orjson

from convergence.sandbox.http import Request, Response

BOMB_MIB: Final = 80  # unpacked; an answer may have 64
Change = Callable[[dict[str, Any]], object]


@dataclass(slots=True)
class Plan:
    """Break `times` answers to requests whose path holds `path`, from number `first` (from 1) on.

    `hits` counts what was broken.
    """

    fault: str
    path: str = ""
    first: int = 1
    times: int = 1_000_000
    hits: int = 0
    seen: int = 0
    _earlier: Response | None = None

    def apply(self, request: Request, good: Response) -> Response:
        """Return the answer that goes out."""
        if self.path not in request.path or good.status != 200:
            return good
        self.seen += 1
        earlier, self._earlier = self._earlier, good
        if not self.first <= self.seen < self.first + self.times:
            return good
        self.hits += 1
        if self.fault == "duplicate_page":  # the page before once more, under this page's cursor
            return good if earlier is None else _changed(good, lambda page: page.update(data=_parsed(earlier)["data"]))
        if self.fault == "endless":  # the page leads to itself
            cursor = dict(request.query).get("page") or _parsed(good).get("next_page") or "page_MA=="
            return _changed(good, lambda page: page.update(has_more=True, next_page=cursor))
        return FAULTS[self.fault](good)


def _parsed(response: Response) -> dict[str, Any]:
    page: dict[str, Any] = orjson.loads(response.body)
    return page


def _changed(response: Response, change: Change) -> Response:
    page = _parsed(response)
    change(page)
    return replace(response, body=orjson.dumps(page))


def _fields(value: Any, change: Callable[[dict[str, Any], str], bool]) -> bool:
    """Offer fields to `change`, depth first, until it reports a change."""
    if isinstance(value, list):
        return any(_fields(one, change) for one in value)
    if not isinstance(value, dict):
        return False
    return any(change(value, name) or _fields(value[name], change) for name in list(value))


def _first(response: Response, fits: Callable[[str, Any], bool], new: Callable[[Any], Any]) -> Response:
    def change(record: dict[str, Any], name: str) -> bool:
        if not fits(name, record[name]):
            return False
        record[name] = new(record[name])
        return True

    page = _parsed(response)
    _fields(page.get("data", page), change)
    return replace(response, body=orjson.dumps(page))


def _counts(name: str, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and ("token" in name or name.startswith("num_"))


@lru_cache(maxsize=1)
def _bomb() -> bytes:
    return gzip.compress(b" " * BOMB_MIB * 2**20, 1)


def _message(text: str) -> bytes:
    return orjson.dumps({"error": {"message": text, "type": "server_error"}})


FAULTS: Final[Mapping[str, Callable[[Response], Response]]] = {
    "truncated": lambda good: replace(good, body=good.body[: len(good.body) // 2]),
    "cut": lambda good: replace(good, cut=True),
    "slow": lambda good: replace(good, delay_s=0.05),
    "html": lambda good: replace(good, body=b"<html>Sign in to your network</html>", content_type="text/html"),
    "error_200": lambda good: replace(good, body=_message("the report is being built")),
    "throttled": lambda good: replace(good, status=429, body=_message("slow down"), headers={"retry-after": "0.01"}),
    "server_error": lambda good: replace(good, status=500, body=_message("internal")),
    "unavailable": lambda good: replace(good, status=503, body=_message("try later"), headers={"retry-after": "0.01"}),
    "unauthorised": lambda good: replace(good, status=401, body=_message("the key was revoked")),
    "bomb": lambda good: replace(good, body=_bomb(), headers={**good.headers, "content-encoding": "gzip"}),
    "last_too_early": lambda good: _changed(good, lambda page: page.update(has_more=False, next_page=None)),
    "no_cursor": lambda good: _changed(good, lambda page: page.update(has_more=True, next_page=None)),
    "lost_rows": lambda good: _changed(good, lambda page: page["data" if "data" in page else "rows"].pop()),
    "changed_type": lambda good: _first(good, _counts, lambda _: "a few"),
    "negative": lambda good: _first(good, _counts, lambda _: -5),
    "unknown_model": lambda good: _first(
        good, lambda name, value: name == "model" and isinstance(value, str), lambda _: "model-of-tomorrow"
    ),
    "unknown_currency": lambda good: _first(
        good, lambda name, value: name == "currency" and isinstance(value, str), lambda _: "zzz"
    ),
}
NAMES: Final = (*FAULTS, "duplicate_page", "endless")
