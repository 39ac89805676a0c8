"""What a server does org by org: one request for some of them, until none is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from convergence.entry.cli.output import Output
from convergence.entry.cli.server import Server

Page = Mapping[str, Any]  # an answer; its `cursor` leads to the next one


def pages(
    server: Server, path: str, query: Mapping[str, str], *, orgs: Callable[[Page], int], out: Output
) -> Iterator[Page]:
    """Yield the answer of each request, and say in between how many orgs are done; `orgs` counts those of an answer."""
    asked, done = dict(query), 0
    while True:
        page = server.ask("POST", path, root=True, params=asked)
        yield page
        cursor = page.get("cursor")  # a server of an earlier release does all orgs at once
        if cursor is None:
            return
        done += orgs(page)
        out.note(f"{done} orgs are done, others follow")
        asked["cursor"] = cursor
