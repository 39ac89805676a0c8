"""The bars of a run's timeline: attempts, waits with their causes, and time in which nothing ran, folded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise, zip_longest
from typing import Final

from convergence.domain.status import StepStatus
from convergence.domain.times import from_text
from convergence.domain.transitions import RawTransition
from convergence.entry.ui.formats import clock, duration

FOLDED_MIN_MS: Final = 20_000  # shorter pauses are drawn to scale
_FOLDS_MAX: Final = 5
_FOLD: Final = 8.0  # percent of the width for a folded pause
_BAR_MIN: Final = 0.5
_LABEL: Final = 9.0  # percent that a label of the axis needs
_NICE_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400, 604_800)
_OUTCOME: Final = {StepStatus.COMPLETED: "ok", StepStatus.SKIPPED: "off", StepStatus.CANCELLED: "off"}


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one step, in milliseconds since the run was accepted. `kind`: ok, fail, off, run or wait."""

    kind: str
    start: float
    end: float
    cause: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A segment as drawn: percent of the width, and its words."""

    kind: str
    x: float
    width: float
    cause: str


@dataclass(frozen=True, slots=True)
class Row:
    """The line of one step. `words` say what the bars show."""

    label: str
    status: str
    bars: Sequence[Bar]
    words: str
    total_ms: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of the axis."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Fold:
    """A folded pause: where, how wide, how long."""

    x: float
    width: float
    ms: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """A whole timeline."""

    rows: Sequence[Row]
    ticks: Sequence[Tick]
    folds: Sequence[Fold]


def segments(moves: Sequence[RawTransition], began: datetime, now: datetime) -> list[Segment]:
    """Return attempts and waits of one step from its moves, oldest first."""
    found: list[Segment] = []
    for (at, status, reason), after in zip_longest(moves, moves[1:]) if moves else ():
        if status not in (StepStatus.RUNNING, StepStatus.RETRYING):
            continue
        start = _ms(from_text(at), began)
        end = _ms(now if after is None else from_text(after[0]), began)
        if status == StepStatus.RETRYING:
            found.append(Segment("wait", start, end, reason))
        else:
            kind = "run" if after is None else _attempt(after)
            found.append(Segment(kind, start, end, reason if after is None else after[2]))
    return found


def _attempt(after: RawTransition) -> str:
    """Return how an attempt ended, by the move that ended it; one that continues later did not fail."""
    if after[1] == StepStatus.RETRYING and after[2] in ("to be continued", "its process was stopped"):
        return "ok"
    return _OUTCOME.get(StepStatus(after[1]), "fail")


def timeline(steps: Iterable[tuple[str, str, Sequence[Segment]]], total_ms: float) -> Timeline:
    """Return the drawing of steps, given as (label, status, segments); `total_ms` is the whole time of the run."""
    given = list(steps)
    scale = _Scale([each for _, _, found in given for each in found if each.kind != "wait"], max(total_ms, 1.0))
    rows = [Row(label, status, _bars(found, scale), _words(found), _spent(found)) for label, status, found in given]
    return Timeline(rows, scale.ticks(), scale.folds)


def _bars(found: Sequence[Segment], scale: _Scale) -> list[Bar]:
    bars = []
    for each in found:
        x = scale.at(each.start)
        width = min(max(scale.at(each.end) - x, _BAR_MIN), 100 - x)
        bars.append(Bar(each.kind, round(x, 2), round(max(width, 0.1), 2), each.cause))
    return bars


_VERBS: Final = {"ok": "ran", "fail": "failed", "off": "stopped", "run": "runs", "wait": "waits"}


def _words(found: Sequence[Segment]) -> str:
    parts = [f"{clock(each.start)} to {clock(each.end)} {_VERBS[each.kind]}: {each.cause[:200]}" for each in found[-8:]]
    return "; ".join(parts) or "not started"


def _spent(found: Sequence[Segment]) -> float:
    return found[-1].end - found[0].start if found else 0.0


class _Scale:
    """Milliseconds to percent, with pauses folded."""

    def __init__(self, busy: Sequence[Segment], total_ms: float) -> None:
        pauses = sorted(_pauses(busy, total_ms), key=lambda pause: pause[0] - pause[1])[:_FOLDS_MAX]
        self._pauses = sorted(pauses)
        self._total = total_ms
        self._open = max(total_ms - sum(end - start for start, end in self._pauses), 1.0)
        self._share = (100 - _FOLD * len(self._pauses)) / self._open
        self.folds = [Fold(round(self.at(start), 2), _FOLD, end - start) for start, end in self._pauses]

    def at(self, ms: float) -> float:
        """Return the place of a moment, in percent."""
        x, before = 0.0, 0.0
        for start, end in self._pauses:
            if ms <= start:
                break
            x += (start - before) * self._share
            x += _FOLD * min(1.0, (ms - start) / (end - start))
            before = end
            if ms <= end:
                return x
        return min(100.0, x + max(0.0, ms - before) * self._share)

    def ticks(self) -> list[Tick]:
        """Return labels at round times that are not folded and do not touch each other."""
        step = next((each for each in _NICE_S if each * 6_000 >= self._open), _NICE_S[-1]) * 1_000
        moments: list[float] = [n * step for n in range(min(400, int(self._total // step) + 1))]
        moments += [_rounded(end, step) for _, end in self._pauses]
        found: list[Tick] = []
        for ms in sorted(set(moments)):
            x = self.at(ms)
            hidden = any(start < ms < end for start, end in self._pauses) or x > 100 - _LABEL / 2 or ms > self._total
            if not hidden and (not found or x - found[-1].x >= _LABEL):
                found.append(Tick(round(x, 2), clock(ms)))
        return found


def _rounded(ms: float, step: int) -> float:
    return -(-ms // step) * step


def _pauses(busy: Sequence[Segment], total_ms: float) -> list[tuple[float, float]]:
    """Return the stretches in which no step ran that are long in themselves and beside the rest."""
    edges: list[tuple[float, float]] = [(0.0, 0.0)]
    for start, end in sorted((each.start, each.end) for each in busy):
        if start <= edges[-1][1]:
            edges[-1] = (edges[-1][0], max(end, edges[-1][1]))
        else:
            edges.append((start, end))
    edges.append((total_ms, total_ms))
    ran = sum(end - start for start, end in edges)
    least = max(FOLDED_MIN_MS, ran / 4)
    return [(left[1], right[0]) for left, right in pairwise(edges) if right[0] - left[1] > least]


def folded_words(found: Timeline) -> str:
    """Return a sentence on what is folded, empty when nothing is."""
    total = sum(fold.ms for fold in found.folds)
    return f"Nothing ran for {duration(total)}, which is folded." if total else ""


def _ms(at: datetime, began: datetime) -> float:
    return max(0.0, (at - began).total_seconds() * 1_000)
