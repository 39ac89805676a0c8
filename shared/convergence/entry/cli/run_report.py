"""What the command line prints of a run: its first line, what it covers, how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from convergence.domain.run import Run
from convergence.engine.services import Services
from convergence.engine.views import runs as views
from convergence.engine.views.models import RunSummary, RunView
from convergence.entry.cli.layout import room
from convergence.entry.cli.output import Output, cell, failure, outcome, seconds, status

_SHOWN_APART: Final = frozenset({"date", "start_date", "end_date", "credential_id"})


def verdict(found: Mapping[str, Any]) -> str:
    """Return the verdict of the rules of FOCUS in a few words."""
    broken, waived = found["failed"], found["waived"]
    parts = [f"{found['verdict']} ({found['rows']:,} charges, {found['passed']} rules"]
    parts += [f"{len(broken)} broken: {', '.join(broken)}"] if broken else []
    parts += [f"{len(waived)} waived: {', '.join(waived)}"] if waived else []
    return ", ".join(parts) + ")"


def origin(run: RunSummary) -> list[str]:
    """Return, a line each, what a run covers, who started it and when, its other parameters, and what replays changed.

    Times have their date and zone: a reader on another day, or in another zone, sees the same moment.
    """
    lines = []
    if run["start_date"] is not None:
        lines.append(f"dates    {run['start_date']} to {run['end_date']}")
    began = f"began    {run['created_at'][:19].replace('T', ' ')} UTC, {run['trigger']}"
    by = f" by {run['created_by']}" if run["created_by"] != run["trigger"] else ""
    lines.append(f"{began}{by}" + (f", credential {run['credential_id']}" if run["credential_id"] else ""))
    others = {name: value for name, value in run["parameters"].items() if name not in _SHOWN_APART}
    if others:
        lines.append("with     " + ", ".join(f"{name}={cell(value)}" for name, value in others.items()))
    for change in run["changes"]:
        before, after = (_value(change[side]) for side in ("before", "after"))
        lines.append(f"replay {change['epoch']} changed {change['name']}: {before} -> {after}")
    return lines


def _value(value: Any) -> str:
    return "(none)" if value is None else cell(value)


def headline(out: Output, word: str, name: str, rest: str) -> None:
    """Print a run's first line; on a terminal where it does not fit, `rest` is below it."""
    columns = room()
    fits = columns is None or len(f"{word}  {name}  {rest}") <= columns
    out.line(f"{status(word)}  {name}" + (f"  {rest}" if fits else ""))
    if not fits:
        out.wrapped(rest)


def summary(out: Output, run: RunView, command: Callable[..., str]) -> None:
    """Print how a run ended, in a few lines, and what to do about a failure."""
    done = sum(step["status"] in {"completed", "skipped"} for step in run["steps"] if step["trigger"] is None)
    steps = sum(step["trigger"] is None for step in run["steps"])
    figures = [
        f"{done} of {steps} steps",
        f"{run['records_processed']:,} rows read, {run['rows_written']:,} written",
        seconds(run["duration_ms"]),
    ]
    headline(out, outcome(run), f"{run['pipeline']}  {run['run_id']}", " · ".join(figures))
    for line in origin(run):
        out.wrapped(line)
    for found in run["focus"]:
        out.wrapped(f"FOCUS: {verdict(found)}")
    out.warnings(run["warnings"], out.wrapped)
    if run["error_message"] is not None:
        out.wrapped(failure(run))
    if run["status"] == "queued":
        out.line(f"  later:  {command('resume')}")
    if run["status"] in {"failed", "cancelled"}:
        out.line(f"  look:   {command('logs', run['run_id'])}")
        out.line(f"  again:  {command('replay', run['run_id'])}")


async def report_end(
    out: Output, services: Services, runs: Sequence[Run], command: Callable[..., str], *, several: bool = False
) -> int:
    """Print the end of each run; return the exit code: 1 when one of them did not complete.

    Programs get the first one and, as `chained`, those that it started; with `several` a list of all.
    """
    shown = [await views.status(services, run.org, run.run_id) for run in runs]
    if out.json:
        chained = {"chained": shown[1:]} if shown[1:] else {}
        out.data({"runs": shown} if several else {**shown[0], **chained})
    else:
        for view in shown:
            summary(out, view, command)
    return 0 if all(view["status"] == "completed" for view in shown) else 1
