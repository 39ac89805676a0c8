"""How many dead letters of an org are open, for the navigation of each page: one bounded look, kept for a while."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from fastapi import Request

from convergence.engine.dead_letters.find import count_open
from convergence.engine.services import Services
from convergence.entry.api.runtime import runtime_of
from convergence.errors import ConvergenceError

LOOKED_MAX: Final = 100  # the latest dead letters; of more, the figure is a lower bound
KEPT_S: Final = 30.0
_ORGS_MAX: Final = 1_000


class OpenLetters:
    """The figures of this process by org, each with the time until which it holds."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def get(self, services: Services, org: str) -> str:
        """Return `3`, or `87+` where there may be more; empty without any, or while the store does not answer."""
        now = services.clock.now().timestamp()
        until, words = self._kept.get(org, (0.0, ""))
        if now >= until:
            try:
                count, whole = await count_open(services, org, most=LOOKED_MAX)
            except ConvergenceError:
                return ""
            words = f"{count}{'' if whole else '+'}" if count else ""
            self._kept[org] = (now + KEPT_S, words)
            self._kept.move_to_end(org)
            if len(self._kept) > _ORGS_MAX:
                self._kept.popitem(last=False)
        return words

    def forget(self, org: str) -> None:
        """Look again at the next page."""
        self._kept.pop(org, None)


def open_letters(request: Request) -> OpenLetters:
    """Return the figures that this process keeps; the first page that needs them makes them."""
    state = request.app.state
    if not hasattr(state, "open_letters"):
        state.open_letters = OpenLetters()
    found: OpenLetters = state.open_letters
    return found


async def open_letters_of(request: Request, org: str) -> str:
    """Return the figure of an org whose pages the visitor may see."""
    return await open_letters(request).get(runtime_of(request).services, org)
