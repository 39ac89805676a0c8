"""The discard of many dead letters as people and programs see it."""

from __future__ import annotations

from typing_extensions import TypedDict  # pydantic reads them on Python 3.11 only from there

from convergence.domain.wording import counted
from convergence.engine.dead_letters.discards import Discarded, DiscardsPlan
from convergence.engine.views.dead_letter_replays import of_orgs
from convergence.engine.views.dead_letters import CauseView, causes_view


class DiscardsPlanView(TypedDict):
    """What would be discarded. `runs` and `messages` are those that the dead letters belong to; `complete` is False
    when there are more.
    """

    dead_letters: int
    runs: int
    messages: int
    orgs: int
    causes: list[CauseView]
    complete: bool
    text: str


class DiscardedView(TypedDict):
    """How many dead letters were discarded. With a `cursor` there may be more after them: ask again with it."""

    discarded: int
    cursor: str | None


def discards_plan_view(found: DiscardsPlan) -> DiscardsPlanView:
    """Return what would be discarded, with a sentence for people."""
    of = [counted(count, noun) for count, noun in ((found.runs, "run"), (found.messages, "message")) if count]
    belongs = f" ({', '.join(of)})" if of else ""
    more = "" if found.complete else ", and more"
    return {
        "dead_letters": found.dead_letters,
        "runs": found.runs,
        "messages": found.messages,
        "orgs": found.orgs,
        "causes": causes_view(found.causes),
        "complete": found.complete,
        "text": f"{counted(found.dead_letters, 'dead letter')}{of_orgs(found.orgs)}{belongs}{more}",
    }


def discarded_view(done: Discarded) -> DiscardedView:
    """Return what was done."""
    return {"discarded": done.dead_letters, "cursor": done.cursor}
