"""Bars on a terminal: a row for each step with its status, rows, attempts and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from convergence.domain.run import Run
from convergence.engine.services import Services
from convergence.engine.views import runs as views
from convergence.engine.views.models import RunView, StepView
from convergence.entry.cli.output import COLOURS, first_line, outcome, seconds
from convergence.entry.cli.rows import Rows

_MARKS: Final = {
    "completed": "✓",
    "failed": "✗",
    "skipped": "–",
    "cancelled": "–",
    "retrying": "↻",
    "running": "▸",
    "processing": "▸",
    "pending": "·",
}
_AT_WORK: Final = ("running", "processing")
_FIRST: Final = ("failed", *_AT_WORK, "retrying")  # shown first when there are more steps than lines
_WIDE, _NARROW, _ROOMY = 20, 6, 100  # columns of a bar, and of a terminal that has room for the wider one
_MARK: Final = len("✓ ")
_OTHER_LINES: Final = 4


class Bars:
    """A live table on stderr, redrawn at each look; it stays when the runs are over."""

    def __init__(self, rows: Rows, console: Console | None = None) -> None:
        self._rows = rows
        self._console = Console(stderr=True) if console is None else console
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._started = False

    async def show(self, services: Services, runs: Sequence[Run]) -> None:
        """Draw all runs."""
        if not self._started:
            self._live.start()
            self._started = True
        shown = [await views.status(services, run.org, run.run_id) for run in runs]
        room = max(4, self._console.height // max(1, len(shown)) - _OTHER_LINES)
        self._live.update(Group(*(self.table(run, room) for run in shown)), refresh=True)

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()

    def table(self, run: RunView, room: int) -> RenderableType:
        """Return what is shown of a run, with at most `room` steps."""
        head = Text.assemble(
            (run["pipeline"], "bold"), f"  {run['run_id']}  ", (outcome(run), _colour(outcome(run))),
            f"  {run['progress']} %  {seconds(run['duration_ms'])}",
        )  # fmt: skip
        shown = fitting(run["steps"], room)
        table = Table.grid(padding=(0, 2))
        longest = max((len(step["step_id"]) for step in shown), default=0) + _MARK
        table.add_column(min_width=min(longest, self._console.width // 2), overflow="fold")
        for step in shown:
            table.add_row(*self._row(run["run_id"], step))
        hidden = len(run["steps"]) - min(room, len(run["steps"]))
        parts: list[RenderableType] = [head, table, *(_error(step) for step in shown if step["error_message"])]
        if hidden:
            parts.append(Text(f"  … and {hidden} more steps", style="bright_black"))
        if run["waits_for"] is not None:
            parts.append(Text(f"  waits for {run['waits_for']}", style="yellow"))
        return Group(*parts)

    def _row(self, run_id: str, step: StepView) -> tuple[RenderableType, ...]:
        rows, total, note = self._rows.seen.get((run_id, step["step_id"]), (0, None, ""))
        word, colour = step["status"], _colour(step["status"])
        attempts = step["attempts"] + (step["next_attempt_at"] is not None and not step["crashes"])
        return (
            Text(f"{_MARKS.get(word, ' ')} {step['step_id']}", style=colour),
            _bar(word, rows, total, width=_WIDE if self._console.width >= _ROOMY else _NARROW),
            Text(_counts(step, rows), justify="right"),
            Text(f"attempt {attempts} of {step['attempts_max']}" if attempts > 1 else "", style="yellow"),
            Text(seconds(step["duration_ms"]), justify="right"),
            Text(first_line(note) if word in _AT_WORK else "", style="bright_black", no_wrap=True, overflow="ellipsis"),
        )


def _error(step: StepView) -> RenderableType:
    """Return what a step failed with, over as many lines as it takes."""
    message = Text(f"{step['step_id']}: {first_line(step['error_message'] or '')}", style="bright_black")
    return Padding(message, (0, 0, 0, 4))


def fitting(steps: Sequence[StepView], room: int) -> list[StepView]:
    """Return at most `room` steps: when there are more, those that need a look; else all, in plan order."""
    if len(steps) <= room:
        return list(steps)
    order = {step["step_id"]: number for number, step in enumerate(steps)}
    rank = {word: number for number, word in enumerate(_FIRST)}
    chosen = sorted(steps, key=lambda step: (rank.get(step["status"], len(rank)), -order[step["step_id"]]))[:room]
    return sorted(chosen, key=lambda step: order[step["step_id"]])


def _counts(step: StepView, rows: int) -> str:
    """Return rows read and written of a step that has answered, before that what it has reported so far."""
    if not step["rows_processed"] and not step["rows_written"]:
        return f"{rows:,} rows so far" if rows else ""
    return f"{step['rows_processed']:,} read, {step['rows_written']:,} written"


def _bar(word: str, rows: int, total: int | None, *, width: int) -> ProgressBar:
    settings: dict[str, Any] = {"width": width, "complete_style": _colour(word), "finished_style": _colour(word)}
    if word in {"completed", "skipped"}:
        return ProgressBar(total=1, completed=1, **settings)
    if word in _AT_WORK:
        return ProgressBar(total=total, completed=rows, pulse=total is None, **settings)
    return ProgressBar(total=1, completed=0, **settings)


def _colour(word: str) -> str:
    return COLOURS.get(word, "default")
