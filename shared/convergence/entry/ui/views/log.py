"""The log of a run: what steps and the engine said, searched, the latest lines first to be kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from convergence.domain.status import StepStatus
from convergence.engine.views.models import Move
from convergence.entry.api.runtime import Runtime
from convergence.entry.ui.formats import counted
from convergence.entry.ui.statuses import shown

LINES_MAX: Final = 200
_LAST: Final = 10  # of a failing step


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line."""

    at: str
    level: str
    step_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Log:
    """The lines on the page, oldest first; `count` is how many the run has, `matching` how many match."""

    lines: Sequence[Line]
    count: int
    matching: int
    failing: Sequence[Line]

    @property
    def note(self) -> str:
        """What the page shows of the log."""
        if self.matching > len(self.lines):
            return f"The last {len(self.lines)} of {counted(self.matching, 'line')}, oldest first"
        whole = counted(self.count, "line")
        return f"{self.matching:,} of {whole}" if self.matching < self.count else whole


async def run_log(
    at: Runtime, run_id: str, *, text: str = "", level: str = "", failing: str = "", moves: Sequence[Move] = ()
) -> Log:
    """Return the log of a run that the caller may see; the failing step's lines have its `moves` among them.

    Reading files blocks, so a thread does it.
    """
    return await asyncio.to_thread(_search, at.log_lines(run_id), text.lower(), level, failing, moves)


def _search(logged: Iterable[dict[str, Any]], text: str, level: str, failing: str, moves: Sequence[Move]) -> Log:
    lines = list(logged)
    selected = [each for each in lines if _matches(each, text, level)] if text or level else lines
    own = [_line(each) for each in lines if each.get("step_id") == failing] if failing else []
    own += [_moved(move) for move in moves if failing and move["step_id"] == failing]
    last = sorted(own, key=lambda line: line.at)[-_LAST:]
    return Log([_line(each) for each in selected[-LINES_MAX:]], len(lines), len(selected), last)


def _matches(data: Mapping[str, Any], text: str, level: str) -> bool:
    if level and str(data["level"]).upper() != level:
        return False
    return text in f"{data['message']} {data.get('step_id') or ''}".lower()


def _moved(move: Move) -> Line:
    level = {StepStatus.FAILED: "ERROR", StepStatus.RETRYING: "WARNING"}.get(StepStatus(move["status"]), "INFO")
    word = shown(move["status"]).word
    return Line(at=move["at"], level=level, step_id=move["step_id"] or "", message=f"{word}: {move['why']}")


def _line(data: Mapping[str, Any]) -> Line:
    """Return a line without its traceback, which is for the operator only."""
    return Line(
        at=data["at"],
        level=str(data["level"]).upper(),
        step_id=str(data.get("step_id") or ""),
        message=str(data["message"]),
    )
