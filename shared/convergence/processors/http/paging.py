"""How an API splits its answer into pages, and where the next one is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import orjson

from convergence.errors import StepFailed

Params = Sequence[tuple[str, str]]
Paging = Callable[[Any, Params], Params | None]  # (page, its parameters) → parameters of the next page


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `path` is below the client's base URL, or a whole URL; `body` is sent as JSON."""

    path: str
    params: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    body: Any = None

    def having(self, name: str, value: str) -> Call:
        """Return the call with a parameter set: in the body of a call that has one, else in the query."""
        if isinstance(self.body, Mapping):
            return replace(self, body={**self.body, name: value})
        return replace(self, params=(*((key, old) for key, old in self.params if key != name), (name, value)))


class Answer(NamedTuple):
    """A parsed answer with its headers (names in lower case). `empty`: it has no content (204), `data` is None."""

    data: Any
    headers: Mapping[str, str]
    empty: bool = False


Following = Callable[[Answer, Call], Call | None]  # call for the next page; None after the last one


PAGES_MAX: Final = 100_000  # per listing, by default


class LoopGuard:
    """Detects paging that runs in a cycle, in constant memory (R. P. Brent, BIT 20, 1980), and counts pages.

    `state` is JSON: a step that continues later continues with it. `pages_max`: a longer listing counts as endless.
    """

    def __init__(self, state: Sequence[Any] = ("", 1, 0), *, pages_max: int = PAGES_MAX) -> None:
        self._kept, self._power, self._steps, *counted = state  # an older checkpoint has no count
        self._further = counted[0] if counted else 0  # pages after the first
        self._pages_max = pages_max

    def check(self, call: Call, where: str) -> None:
        """Note the call for a further page. Raises `StepFailed` when it was made before, or is one too many."""
        if self.repeats(call):
            raise StepFailed(f"{where} repeats its cursor: paging would never end")
        self._further += 1
        if self._further >= self._pages_max:
            raise StepFailed(
                f"{where} has more than {self._pages_max} pages, which looks like endless paging; nothing was"
                " loaded. Ask for larger pages or fewer days; generic.api_extractor has pagination.max_pages."
            )

    def repeats(self, call: Call) -> bool:
        """Whether `call` was made before; seen after at most three rounds of the circle."""
        form = orjson.dumps([call.path, call.params, call.body])
        digest = blake2b(form, digest_size=8).hexdigest()
        if digest == self._kept:
            return True
        if self._steps + 1 >= self._power or not self._kept:
            self._kept, self._power, self._steps = digest, self._power * 2, 0
        else:
            self._steps += 1
        return False

    @property
    def state(self) -> list[Any]:
        """The state from which a `LoopGuard` continues."""
        return [self._kept, self._power, self._steps, self._further]


def cursor_paging(*, param: str = "page", cursor: str = "next_page", more: str = "has_more") -> Paging:
    """Pages that name their successor: `{"has_more": true, "next_page": "abc"}` → `page=abc`."""

    def following(page: Any, params: Params) -> Params | None:
        if not isinstance(page, dict):
            raise StepFailed(f"a page is a {type(page).__name__}, not an object with {more!r} and {cursor!r}")
        if not page.get(more):
            return None
        if not page.get(cursor):
            raise StepFailed(f"a page has {more!r} but no {cursor!r}: the rest cannot be requested")
        return [*((name, value) for name, value in params if name != param), (param, str(page[cursor]))]

    return following
